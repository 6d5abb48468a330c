from __future__ import annotations

import pytest

from guardrails.text.leet import join_spelled, undo_leet


def made(text, edits):
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1d10t", "idiot"),
        ("M0R0N", "MORON"),
        ("Stup1d", "Stupid"),
        ("w3lc0me to my s3rver", "welcome to my server"),
        ("n0 0ne l1kes you, m0r0n", "no one likes you, moron"),
        ("fa66ot", "faggot"),
    ],
)
def test_word_with_digits_is_read(text, read):
    assert made(text, undo_leet(text)) == read


@pytest.mark.parametrize(
    "text",
    [
        "covid19",
        "50ft",
        "n0",
        "@home",
        "$page",
        "a11y",
        "gpt4 mp3 3D",
        "x/h3llo",
        "P@ssw0rd",
        "a=s3cret",
        "B12",
    ],
)
def test_harmless_shape_is_left(text):
    assert undo_leet(text) == []


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
