from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.text.compatibility import COMPOSING, to_plain_forms, without_piles

ALL = range(sys.maxunicode + 1)


def made(text, edits):
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


def test_composing_names_every_character_of_class_0_that_composes_with_the_one_before():
    decomposed = ((chr(code), unicodedata.normalize("NFD", chr(code))) for code in ALL)
    second = {
        pair[-1]
        for whole, pair in decomposed
        if len(pair) > 1
        and unicodedata.normalize("NFC", pair) == whole
        and unicodedata.combining(pair[-1]) == 0
    }
    assert second <= COMPOSING


@given(st.text(st.characters(blacklist_characters="！（），．：；？～｡｢｣､･\u0e33\u0eb3\u0587")))
def test_edits_make_exactly_what_nfkc_makes(text):
    assert made(text, to_plain_forms(text)) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize("text", ["你好！", "（谢谢）", "น้ำ", "և", "は？！", "한글，"])
def test_ordinary_writing_is_left(text):
    assert to_plain_forms(text) == []


@pytest.mark.parametrize(
    ("text", "plain"), [("ｈｉ！", "hi!"), ("你＜ｂ＞", "你<b>"), ("ﬁ", "fi"), ("①", "1")]
)
def test_plain_form_is_taken(text, plain):
    assert made(text, to_plain_forms(text)) == plain


def test_piles_and_strokes_go_but_two_marks_stay():
    assert made("a\u0336b", without_piles("a\u0336b")) == "ab"
    assert without_piles("ọ\u0301") == []
    piled = "x" + "\u0301" * 9
    assert made(piled, without_piles(piled)) == "x"
