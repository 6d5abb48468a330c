from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from guardrails.inference.batching import Rows
from guardrails.inference.lane import Lane


class Lengths:
    """One score a text: its length in thousandths. Waits for `gate`, and notes its batches."""

    labels = ("length",)
    window_tokens = 50
    concurrent = True

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        self.threads.add(threading.get_ident())
        self.entered.set()
        self.gate.wait(10)
        self.batches.append(list(texts))
        if any("poison" in text for text in texts):
            raise RuntimeError("secret text of the caller")
        return np.array([[len(text) / 1_000] for text in texts], np.float32)


class Answers:
    """Collects what a lane says, from its threads."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Any, Rows | str]] = queue.Queue()

    def to(self, name: Any) -> Callable[[Rows | str], None]:
        return lambda outcome: self._queue.put((name, outcome))

    def take(self, count: int) -> dict[Any, Rows | str]:
        return dict(self._queue.get(timeout=10) for _ in range(count))


@pytest.fixture
def model() -> Lengths:
    return Lengths()


@pytest.fixture
def make(model: Lengths) -> Iterator[Callable[..., Lane]]:
    lanes: list[Lane] = []

    def start(**options: Any) -> Lane:
        lane = Lane("lengths", lambda: model, now=time.monotonic, **options)
        loaded: queue.Queue[Exception | None] = queue.Queue()
        lane.start(loaded.put)
        assert loaded.get(timeout=10) is None
        lanes.append(lane)
        model.batches.clear()
        model.entered.clear()
        return lane

    yield start
    model.gate.set()
    for lane in lanes:
        lane.stop()


def soon() -> float:
    return time.monotonic() + 10


def test_jobs_that_wait_together_share_a_batch(make: Callable[..., Lane], model: Lengths) -> None:
    lane, answers = make(batch_windows=8), Answers()
    model.gate.clear()
    lane.submit(["first"], soon(), answers.to(0))
    assert model.entered.wait(10)
    for number in range(1, 6):
        lane.submit([f"text {number}"], soon(), answers.to(number))
    model.gate.set()
    outcomes = answers.take(6)
    assert all(isinstance(outcome, Rows) for outcome in outcomes.values())
    assert [len(batch) for batch in model.batches] == [1, 5]


def test_one_poisoned_job_does_not_fail_its_batch(
    make: Callable[..., Lane], model: Lengths
) -> None:
    lane, answers = make(), Answers()
    model.gate.clear()
    lane.submit(["first"], soon(), answers.to("first"))
    assert model.entered.wait(10)
    for name in ("good", "poison", "fine"):
        lane.submit([name], soon(), answers.to(name))
    model.gate.set()
    outcomes = answers.take(4)
    assert outcomes["poison"] == "The detector lengths failed: RuntimeError."
    assert isinstance(outcomes["good"], Rows) and isinstance(outcomes["fine"], Rows)


def test_a_job_whose_last_window_is_poisoned_fails_once(make: Callable[..., Lane]) -> None:
    lane, answers = make(batch_windows=2), Answers()
    lane.submit(["words " * 100 + "poison", "x" * 3_000], soon(), answers.to("long"))
    lane.submit(["good"], soon(), answers.to("good"))
    outcomes = answers.take(2)
    assert outcomes["long"] == "The detector lengths failed: RuntimeError."
    assert isinstance(outcomes["good"], Rows)


def test_what_has_expired_or_was_cancelled_never_reaches_the_model(
    make: Callable[..., Lane], model: Lengths
) -> None:
    lane, answers = make(), Answers()
    model.gate.clear()
    lane.submit(["first"], soon(), answers.to("first"))
    assert model.entered.wait(10)
    lane.submit(["expired"], time.monotonic() + 0.01, answers.to("expired"))
    cancelled = lane.submit(["cancelled"], soon(), answers.to("cancelled"))
    assert cancelled is not None
    cancelled.cancelled = True
    lane.submit(["last"], soon(), answers.to("last"))
    time.sleep(0.02)
    model.gate.set()
    outcomes = answers.take(4)
    assert outcomes["expired"] == outcomes["cancelled"]
    assert "deadline" in str(outcomes["expired"])
    assert [text for batch in model.batches for text in batch] == ["first", "last"]


@pytest.mark.parametrize("limit", [{"queued_texts": 4}, {"queued_characters": 20}])
def test_a_full_lane_refuses_and_takes_again_when_it_is_empty(
    make: Callable[..., Lane], model: Lengths, limit: dict[str, int]
) -> None:
    lane, answers = make(**limit), Answers()
    model.gate.clear()
    assert lane.submit(["x" * 100] * 10, soon(), answers.to(0)) is not None, "alone it may be long"
    assert lane.submit(["second"], soon(), answers.to(1)) is None
    model.gate.set()
    answers.take(1)
    assert lane.submit(["third"], soon(), answers.to(2)) is not None
    answers.take(1)


def test_a_long_text_is_scored_whole_while_short_ones_pass(make: Callable[..., Lane]) -> None:
    lane, answers = make(), Answers()
    text = "some words here " * 10_000
    lane.submit([text], soon(), answers.to("long"))
    for number in range(20):
        lane.submit([f"short {number}"], soon(), answers.to(number))
    outcomes = answers.take(21)
    assert list(outcomes)[-1] == "long"
    long = outcomes["long"]
    assert isinstance(long, Rows)
    covered = 0
    for start, end in sorted(long.spans):
        assert start <= covered and end - start <= 100
        covered = max(covered, end)
    assert covered == len(text)


def test_a_model_that_allows_it_runs_in_several_threads(
    make: Callable[..., Lane], model: Lengths
) -> None:
    lane, answers = make(threads=3, batch_windows=1), Answers()
    model.gate.clear()
    for number in range(30):
        lane.submit(["x" * (number + 1)] * 3, soon(), answers.to(number))
    # The first thread waits at the gate, so only another one can take the next batch.
    until = soon()
    while len(model.threads) < 2 and time.monotonic() < until:
        time.sleep(0.001)
    model.gate.set()
    for number, outcome in answers.take(30).items():
        assert isinstance(outcome, Rows)
        np.testing.assert_allclose(outcome.rows, (number + 1) / 1_000)
    assert len(model.threads) > 1


def test_a_model_that_cannot_load_says_so_and_fails_each_job() -> None:
    def load() -> Lengths:
        raise OSError("no such file")

    lane, answers = Lane("lengths", load, now=time.monotonic), Answers()
    loaded: queue.Queue[Exception | None] = queue.Queue()
    lane.start(loaded.put)
    assert isinstance(loaded.get(timeout=10), OSError)
    lane.submit(["text"], soon(), answers.to(0))
    assert answers.take(1) == {0: "The detector lengths failed: it could not be loaded."}
    lane.stop()


def test_a_job_that_would_wait_too_long_is_refused_at_once() -> None:
    clock = [0.0]

    class Slow(Lengths):
        def detect(self, texts: Sequence[str]) -> np.ndarray:
            rows = super().detect(texts)
            clock[0] += sum(map(len, texts)) / 100
            return rows

    slow, answers = Slow(), Answers()
    loaded: queue.Queue[Exception | None] = queue.Queue()
    lane = Lane("slow", lambda: slow, now=lambda: clock[0], batch_windows=1)
    lane.start(loaded.put)
    assert loaded.get(timeout=10) is None
    lane.submit(["x" * 50], clock[0] + 10, answers.to("teaches the pace"))
    answers.take(1)
    slow.gate.clear()
    for name in ("first", "second"):
        assert lane.submit(["x" * 50] * 4, clock[0] + 10, answers.to(name))
    # Four seconds of work wait: too much for a deadline in six, not for one in ten.
    assert lane.submit(["x"], clock[0] + 6, answers.to("impatient")) is None
    assert lane.submit(["x"], clock[0] + 10, answers.to("patient"))
    slow.gate.set()
    assert answers.take(3).keys() == {"first", "second", "patient"}
    lane.stop()
