from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from guardrails.inference.batching import BLOCK_CHARACTERS, Backlog, Job, Rows, bucket


def ignore(outcome: Rows | str) -> None:
    pass


def whole(text: str) -> Sequence[tuple[int, int]]:
    return [(0, len(text))]


def words(text: str) -> Sequence[tuple[int, int]]:
    spans, start = [], 0
    for word in text.split(" "):
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


def filled(backlog: Backlog, *texts: str) -> Job:
    job = Job(texts, 1.0, ignore)
    while job.blocks:
        backlog.add(job, job.split(words))
    return job


@given(
    jobs=st.lists(st.lists(st.integers(1, 600), min_size=1, max_size=12), max_size=12),
    most=st.integers(1, 8),
)
def test_every_window_is_served_once_in_batches_of_like_length(
    jobs: list[list[int]], most: int
) -> None:
    backlog = Backlog(batch_windows=most)
    for lengths in jobs:
        filled(backlog, " ".join("x" * length for length in lengths))
    served: list[int] = []
    while backlog:
        batch = backlog.take()
        assert 1 <= len(batch) <= most
        assert len({bucket(window.text) for window in batch}) == 1
        served += [len(window.text) for window in batch]
    assert sorted(served) == sorted(length for lengths in jobs for length in lengths)
    assert backlog.take() == []


@given(st.integers(16, 10_000))
def test_lengths_in_one_bucket_differ_by_less_than_half(length: int) -> None:
    shortest = next(
        n for n in range(length, 0, -1) if bucket("x" * (n - 1)) != bucket("x" * length) or n == 16
    )
    assert length < 1.5 * shortest + 1


def test_a_short_job_waits_for_one_batch_of_a_long_one_only() -> None:
    backlog = Backlog(batch_windows=4)
    long = filled(backlog, " ".join(["x" * 200] * 100))
    short = filled(backlog, "short")
    assert {window.job for window in backlog.take()} == {long}
    assert {window.job for window in backlog.take()} == {short}
    assert {window.job for window in backlog.take()} == {long}


def test_windows_of_several_jobs_share_a_batch() -> None:
    backlog = Backlog(batch_windows=4)
    jobs = {filled(backlog, f"short{number}") for number in range(3)}
    assert {window.job for window in backlog.take()} == jobs


def test_a_job_may_get_more_windows_while_it_waits() -> None:
    backlog = Backlog(batch_windows=1)
    job = Job(["one two"], 1.0, ignore)
    windows = job.split(words)
    backlog.add(job, windows[:1])
    backlog.add(job, windows[1:])
    assert [backlog.take()[0].text, backlog.take()[0].text] == ["one", "two"]
    assert not backlog


def test_dropped_jobs_are_gone() -> None:
    backlog = Backlog(batch_windows=4)
    kept, gone = filled(backlog, "kept"), filled(backlog, "gone")
    assert backlog.drop(lambda job: job is gone) == [gone]
    assert [window.job for window in backlog.take()] == [kept]
    assert not backlog


@given(st.lists(st.integers(0, 4 * BLOCK_CHARACTERS), max_size=4))
def test_blocks_cover_every_character_of_every_text(lengths: list[int]) -> None:
    job = Job(["x" * length for length in lengths], 1.0, ignore)
    covered = [0] * len(lengths)
    while job.blocks:
        cut = job.split(whole)
        assert sum(len(window.text) for window in cut) < 3 * BLOCK_CHARACTERS
        for window in sorted(cut, key=lambda window: (window.number, window.span)):
            start, end = window.span
            assert window.text == job.texts[window.number][start:end]
            assert start <= covered[window.number] <= end, "no gap"
            covered[window.number] = end
    assert covered == lengths
