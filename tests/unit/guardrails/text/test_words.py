from __future__ import annotations

import pytest

from guardrails.text.words import KNOWN, LONGEST, STRONG, is_known


def test_strong_words_are_known():
    assert STRONG <= KNOWN
    assert max(map(len, KNOWN)) == LONGEST


@pytest.mark.parametrize("word", ["you", "instructions", "idiot", "fixing", "мудак"])
def test_common_word_and_its_inflection_are_known(word):
    assert is_known(word)


@pytest.mark.parametrize("word", ["", "s", "xqz", "covidig", "ing"])
def test_what_is_no_word_is_not_known(word):
    assert not is_known(word)
