from __future__ import annotations

import pytest

from guardrails.text.words import (
    BEGINNING_LETTERS,
    BEGINNINGS,
    KNOWN,
    LONGEST,
    STRONG,
    SURPRISE,
    is_known,
)


def test_strong_words_are_known():
    assert STRONG <= KNOWN
    assert max(map(len, KNOWN)) == LONGEST


@pytest.mark.parametrize("word", ["you", "instructions", "idiot", "fixing", "мудак"])
def test_common_word_and_its_inflection_are_known(word):
    assert is_known(word)


@pytest.mark.parametrize("word", ["", "s", "xqz", "covidig", "ing"])
def test_what_is_no_word_is_not_known(word):
    assert not is_known(word)


def test_every_known_word_has_its_surprise_and_the_frequent_ones_the_least():
    assert set(SURPRISE) == KNOWN
    assert SURPRISE["the"] < SURPRISE["house"] < SURPRISE["reactor"]
    assert SURPRISE["idiot"] < SURPRISE["reactor"]


def test_beginnings_are_those_of_the_words():
    assert "instr" in BEGINNINGS
    assert "xq" not in BEGINNINGS
    assert max(map(len, BEGINNINGS)) == BEGINNING_LETTERS
