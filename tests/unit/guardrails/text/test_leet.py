from __future__ import annotations

import pytest

from guardrails.text.leet import undo_leet
from guardrails.text.normalise import normalise


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
        ("7h47 h03", "that hoe"),
        ("h3 15 4 57up1d m0r0n, 455", "he is a stupid moron, ass"),
        ("#b17ch #b00b5", "#bitch #b00b5"),
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
        "Samsung A55 and M25",
        "4 of 15 at 70",
        "#a55 #b00b5",
    ],
)
def test_harmless_shape_is_left(text):
    assert undo_leet(text) == []


@pytest.mark.parametrize(
    ("garbled", "meant"),
    [
        ("d0n'7 7ell m3 y0u c4n'7 g37 1t", "don't tell me you can't get it"),
        ("@u53r: 17'5 700 l473 4nd y0u'r3 l0s7", "@user: it's too late and you're lost"),
        ("wh47 4 d15r35p3c7 7h47 w45 f0r h1m", "what a disrespect that was for him"),
    ],
)
def test_a_text_that_is_garbled_throughout_is_read_throughout(garbled: str, meant: str) -> None:
    assert normalise(garbled).text == meant


def test_numbers_of_a_text_with_one_odd_word_stay() -> None:
    text = "Room 700 at 533 Main St, call m3 at 907"
    assert normalise(text).text == text
