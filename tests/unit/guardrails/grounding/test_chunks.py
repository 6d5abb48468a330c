"""Passages: they cover the text, keep to their size, and end where a reader would stop."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.grounding.chunks import OVERLAP_CHARACTERS, chunks

words = st.sampled_from(
    [
        "river",
        "It",
        "ends.",
        "Why?",
        "\n",
        "\n\n",
        "# Title\n",
        "\n## Part\n",
        "- item",
        "1. one",
        "z",
    ]
)
texts = st.lists(words | st.text(max_size=30), max_size=80).map(" ".join)


@given(texts, st.integers(20, 300))
def test_passages_cover_the_text_in_order_within_their_size(text: str, target: int) -> None:
    spans = chunks(text, target)
    covered = set()
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert end - start <= target
        assert text[start:end] == text[start:end].strip()
        covered.update(range(start, end))
    assert {i for i, c in enumerate(text) if not c.isspace()} <= covered
    assert spans == sorted(set(spans))


@given(texts, st.integers(20, 300))
def test_neighbours_overlap_by_one_short_sentence_at_most(text: str, target: int) -> None:
    spans = chunks(text, target)
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end - start <= OVERLAP_CHARACTERS


def test_passages_end_at_sentences_and_repeat_the_last() -> None:
    text = " ".join(f"This is sentence number {n}." for n in range(10))
    passages = [text[a:b] for a, b in chunks(text, 80)]
    assert passages[0] == (
        "This is sentence number 0. This is sentence number 1. This is sentence number 2."
    )
    assert passages[1].startswith("This is sentence number 2. This is sentence number 3.")
    assert all(passage.endswith(".") for passage in passages)


def test_passages_begin_at_headings_and_keep_title_and_part_together() -> None:
    text = "# Pump\n\n## Oil\n\nUse mineral oil.\n\n## Valves\n\nClose both."
    assert [text[a:b] for a, b in chunks(text)] == [
        "# Pump\n\n## Oil\n\nUse mineral oil.",
        "## Valves\n\nClose both.",
    ]


@pytest.mark.parametrize("text", ["", " \n\t ", "\n\n"])
def test_text_without_words_has_no_passage(text: str) -> None:
    assert chunks(text) == []


def test_long_line_is_cut_at_white_space() -> None:
    text = "word " * 400
    assert all(text[a:b].split()[-1] == "word" for a, b in chunks(text, 100))
    assert [b - a for a, b in chunks("x" * 250, 100)] == [100, 100, 50]
