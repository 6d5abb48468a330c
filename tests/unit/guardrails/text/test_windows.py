from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.text.windows import windows


def test_a_short_text_is_one_window():
    assert windows("hello", 10, 2) == [(0, 5)]


def test_an_empty_text_has_none():
    assert windows("", 10, 2) == []


def test_cuts_fall_between_words():
    text = "alpha beta gamma delta epsilon"
    cut = [text[start:end] for start, end in windows(text, 15, 0)]
    assert cut == ["alpha beta ", "gamma delta ", "epsilon"]


def test_a_text_without_space_is_cut_anywhere():
    assert windows("x" * 25, 10, 0) == [(0, 10), (10, 20), (20, 25)]


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, -1), (10, 6)])
def test_impossible_sizes_are_refused(size, overlap):
    with pytest.raises(ValueError, match="size"):
        windows("text", size, overlap)


@given(st.text(alphabet="ab \n你", max_size=400), st.integers(1, 60), st.data())
def test_windows_cover_every_character_and_never_exceed_the_size(text, size, data):
    overlap = data.draw(st.integers(0, size // 2))
    spans = windows(text, size, overlap)
    reached = 0
    for number, (start, end) in enumerate(spans):
        assert start <= reached < end <= start + size
        if number:
            assert spans[number - 1][0] < start
            assert reached - start <= overlap
        reached = end
    assert reached == len(text)
