from __future__ import annotations

import pytest

from guardrails.text.spelled import is_spelled, join_spelled


def made(text, edits):
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("i d i o t", "idiot"),
        ("k.i.l.l", "kill"),
        ("k i l l y o u r s e l f", "kill yourself"),
        ("y.o.u a.r.e d.u.m.b", "you are dumb"),
        ("a s s", "ass"),
        ("s t u p 1 d", "stupid"),
        ("y o u  a r e  Z o r g  t h e  f o o l", "you  are  Zorg  the  fool"),
        ("i t i s n o t t h e e n d", "it is not the end"),
        ("@ u s e r y o u i d i o t", "@user you idiot"),
    ],
)
def test_spelled_word_is_joined(text, read):
    assert made(text, join_spelled(text)) == read


@pytest.mark.parametrize(
    "text", ["A B C D E F", "1 2 3 4 5", "x y z", "U.S.A.", "e.g. i.e.", "q w e r t y u", "a, b, c"]
)
def test_row_of_letters_that_spells_nothing_is_left(text):
    assert join_spelled(text) == []


@pytest.mark.parametrize("letters", ["idiot", "youidiot", "howareyoutoday"])
def test_letters_of_words_are_told_from_others(letters):
    assert is_spelled(letters)
    assert not is_spelled(letters[::-1])
