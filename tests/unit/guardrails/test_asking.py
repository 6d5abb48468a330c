from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.asking import MOST_PIECES, Unusable, cut
from guardrails.types import Detection
from tests.loop import longest_hold


async def test_short_texts_go_as_they_are_and_their_rows_come_back_as_they_are() -> None:
    pieces = await cut(["one", "two"], 100)
    rows = [[Detection("a", 0.1)], [Detection("a", 0.2, 0, 1, 2)]]
    assert pieces.texts == ["one", "two"]
    assert await pieces.merge(rows, ["a"]) == rows


async def test_nothing_is_asked_about_a_blank_text_and_nothing_is_found_in_it() -> None:
    pieces = await cut(["", "text", " \n"], 100)
    assert pieces.texts == ["text"]
    none = [Detection("a", 0.0), Detection("b", 0.0)]
    row = [Detection("a", 0.5), Detection("b", 0.4)]
    assert await pieces.merge([row], ["a", "b"]) == [none, row, none]


async def test_the_highest_score_over_the_windows_counts_and_its_place_is_the_window() -> None:
    text = "a" * 16 + "b" * 16
    pieces = await cut([text], 16)
    scores = [float("b" in piece) * 0.5 + float("a" not in piece) * 0.4 for piece in pieces.texts]
    ((hit,),) = await pieces.merge([[Detection("x", score)] for score in scores], ["x"])
    assert hit.score == 0.9
    assert set(text[slice(hit.start, hit.end)]) == {"b"}


@given(
    texts=st.lists(st.text("ab cd\n", max_size=120), max_size=4),
    size=st.integers(16, 40),
    needle=st.sampled_from("abc"),
)
async def test_a_span_that_windows_share_is_found_once_at_its_place_in_the_text(
    texts: list[str], size: int, needle: str
) -> None:
    pieces = await cut(texts, size)
    assert all(len(piece) <= size for piece in pieces.texts)
    rows = [
        [
            *(Detection("n", 1.0, 0, at, at + 1) for at, c in enumerate(piece) if c == needle),
            Detection("m", 0.5),
        ]
        for piece in pieces.texts
    ]
    for text, row in zip(texts, await pieces.merge(rows, ["n", "m"]), strict=True):
        found = sorted(hit.start for hit in row if hit.label == "n" and hit.score and text.strip())
        assert found == [at for at, c in enumerate(text) if c == needle and text.strip()]
        assert [hit.label for hit in row].count("m") == 1


async def test_too_many_windows_and_too_few_rows_are_refused() -> None:
    with pytest.raises(Unusable, match="cannot read more"):
        await cut(["word " * 20 * MOST_PIECES], 16)
    with pytest.raises(Unusable, match="cannot read more"):
        await cut(["a b"] * (MOST_PIECES + 1), 16)
    with pytest.raises(Unusable, match="0 rows for 1 texts"):
        await (await cut(["text"], 100)).merge([], ["a"])


@given(text=st.text("ab \n", min_size=1, max_size=3_000), size=st.integers(16, 40))
async def test_the_windows_cover_a_text_that_is_cut_some_at_a_time(text: str, size: int) -> None:
    text = text + "x" + text
    pieces = await cut([text], size)
    assert all(0 < len(piece) <= size for piece in pieces.texts)
    (row,) = await pieces.merge([[Detection("a", 0.5, 0, 0, len(p))] for p in pieces.texts], ["a"])
    covered = set()
    for hit in row:
        assert hit.start is not None and hit.end is not None
        covered |= set(range(hit.start, hit.end))
    assert covered == set(range(len(text)))


async def test_the_longest_texts_never_hold_the_event_loop() -> None:
    labels = [str(label) for label in range(8)]

    async def put_together() -> None:
        pieces = await cut(["x" * 2_000_000, "some words " * 200_000, *["short"] * 500], 1_500)
        rows = [[Detection(label, 0.5) for label in labels]] * len(pieces.texts)
        assert len(await pieces.merge(rows, labels)) == 502

    assert await longest_hold(put_together) < 0.02
