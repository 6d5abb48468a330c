from __future__ import annotations

import pytest

from guardrails.text.spelled import join_spelled


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
    ],
)
def test_spelled_word_is_joined(text, read):
    assert made(text, join_spelled(text)) == read


@pytest.mark.parametrize(
    "text", ["A B C D E F", "1 2 3 4 5", "x y z", "U.S.A.", "e.g. i.e.", "q w e r t y u", "a, b, c"]
)
def test_row_of_letters_that_spells_nothing_is_left(text):
    assert join_spelled(text) == []
