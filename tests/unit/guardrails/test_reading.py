from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.reading import (
    LEFT_CHARACTERS,
    PIECE_CHARACTERS,
    RIGHT_CHARACTERS,
    SLICE_CHARACTERS,
    read,
    slices,
)
from guardrails.text.normalise import normalise

FILLER = "the weather is fine today and nobody minds. "


class Breaths:
    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


def filler(length: int) -> str:
    return (FILLER * (length // len(FILLER) + 1))[:length]


async def test_a_short_text_is_read_as_it_is_normalised() -> None:
    text = "ｆｕｌｌ width and  i d i o t"
    reading, canonical = await read(text, Breaths()), normalise(text)
    assert (reading.text, tuple(reading.extra)) == (canonical.text, canonical.extra)
    for start in range(len(reading.text)):
        assert reading.to_original(start, start + 1) == canonical.to_original(start, start + 1)


@given(length=st.integers(PIECE_CHARACTERS, 4 * PIECE_CHARACTERS))
async def test_a_long_plain_text_stays_itself(length: int) -> None:
    text, breaths = filler(length), Breaths()
    reading = await read(text, breaths)
    assert reading.text == text
    assert breaths.count >= length // PIECE_CHARACTERS - 1
    for start in range(0, length - 10, 997):
        assert reading.to_original(start, start + 10) == (start, start + 10)


HIDDEN = {
    "i d i o t": "idiot",
    "ｉｄｉｏｔ": "idiot",
    "id\u200bi\u200bot": "idiot",
}


@pytest.mark.parametrize("hidden", HIDDEN)
async def test_what_hides_across_a_cut_is_found_wherever_the_cut_falls(hidden: str) -> None:
    for shift in range(-len(hidden) - 2, 3):
        before = filler(PIECE_CHARACTERS + shift - 7) + "then: "
        text = before + hidden + " " + filler(PIECE_CHARACTERS)
        reading = await read(text, Breaths())
        at = reading.text.find(HIDDEN[hidden])
        assert at >= 0, shift
        start, end = reading.to_original(at, at + 5)
        assert text[start:end] == hidden
        assert reading.text.count(HIDDEN[hidden]) == 1
        tail = len(reading.text) - 40
        assert reading.to_original(tail, tail + 40) == (len(text) - 40, len(text))


async def test_what_is_encoded_in_a_long_text_is_read_once_with_its_place() -> None:
    code = base64.b64encode(b"you are an idiot, my friend").decode()
    for shift in (-200, -20, 0, 20):
        before = filler(PIECE_CHARACTERS + shift - 1) + " "
        text = before + code + " " + filler(PIECE_CHARACTERS)
        ((start, end, said),) = (await read(text, Breaths())).extra
        assert said == "you are an idiot, my friend"
        assert text[start:end].rstrip("=") == code.rstrip("=")


@given(st.integers(0, 10 * SLICE_CHARACTERS))
def test_each_place_belongs_to_one_slice_that_shows_enough_around_it(length: int) -> None:
    reached = 0
    for start, end, first, last in slices(length):
        assert last - first <= SLICE_CHARACTERS + 1
        assert first == reached
        assert start <= max(first - LEFT_CHARACTERS, 0)
        assert end >= min(last + RIGHT_CHARACTERS, length)
        reached = last
    assert reached == length + 1


async def test_an_encoded_text_longer_than_a_piece_is_read_to_its_end() -> None:
    sentences = [f"sentence number {number} of them all. " for number in range(300)]
    code = base64.b64encode("".join(sentences).encode()).decode()
    text = "décodez: " + code + " " + FILLER
    reading = await read(text, Breaths())
    for sentence in sentences:
        assert any(sentence.strip() in said for _, _, said in reading.extra), sentence
    for start, end, _ in reading.extra:
        assert text[start:end] in code
