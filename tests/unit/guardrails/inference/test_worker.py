from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from guardrails.errors import ConfigError
from guardrails.inference.cache import Cache
from guardrails.inference.protocol import (
    Describe,
    Described,
    Embed,
    Embeddings,
    Loaded,
    Refused,
    Reply,
    Request,
    Score,
    Scores,
)
from guardrails.inference.worker import Worker, scorers_of


class Lengths:
    """One score a text: its length in thousandths; counts what it is given."""

    name = "lengths"
    version = "lengths-1"
    labels = ("length",)
    window_tokens = 400

    def __init__(self) -> None:
        self.seen: list[str] = []

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        return np.array([[len(text) / 1_000] for text in texts], np.float32)


class Ones:
    window_tokens = 400

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 4), np.float32)


@pytest.fixture
def model() -> Lengths:
    return Lengths()


@pytest.fixture
async def worker(model: Lengths) -> AsyncIterator[Worker]:
    worker = Worker({"lengths": lambda: model}, Ones, cache=Cache(entries=10))
    await worker.start()
    while not isinstance(await ask(worker, Describe(0)), Described):
        await asyncio.sleep(0.005)
    model.seen.clear()
    yield worker
    worker.stop()


async def ask(worker: Worker, request: Request) -> Reply:
    answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    worker.answer(request, answered.set_result)
    return await asyncio.wait_for(answered, 10)


def score(*texts: str) -> Score:
    return Score(7, "lengths", texts, time.monotonic() + 10)


async def test_describe_names_version_and_labels(worker: Worker) -> None:
    assert await ask(worker, Describe(3)) == Described(
        3, {"lengths": Loaded("lengths-1", ("length",))}
    )


async def test_a_text_that_was_scored_before_is_not_scored_again(
    worker: Worker, model: Lengths
) -> None:
    first = await ask(worker, score("one", "four"))
    second = await ask(worker, score("four", "seven", "one"))
    assert isinstance(first, Scores) and isinstance(second, Scores)
    assert [row[0] for row in first.scored.scores] == pytest.approx([0.003, 0.004])
    assert [row[0] for row in second.scored.scores] == pytest.approx([0.004, 0.005, 0.003])
    assert sorted(model.seen) == ["four", "one", "seven"]


async def test_embeddings_have_length_one(worker: Worker) -> None:
    reply = await ask(worker, Embed(5, ("one", "two"), time.monotonic() + 10))
    assert reply == Embeddings(5, [[0.5] * 4] * 2)


async def test_a_detector_that_is_not_there_is_refused(worker: Worker) -> None:
    reply = await ask(worker, Score(9, "other", ("text",), time.monotonic() + 10))
    assert reply == Refused(9, "The worker has not loaded 'other'.")


async def test_a_request_that_came_too_late_is_refused_and_not_run(
    worker: Worker, model: Lengths
) -> None:
    reply = await ask(worker, Score(9, "lengths", ("text",), time.monotonic() - 1))
    assert isinstance(reply, Refused) and "deadline" in reply.message
    assert model.seen == []


def test_only_what_runs_in_the_worker_is_loaded() -> None:
    assert set(scorers_of({"compact": {}, "patterns": {}, "x": {"kind": "toxicity"}})) == {
        "compact",
        "x",
    }
    with pytest.raises(ConfigError, match="There is no detector 'nonsense'"):
        scorers_of({"nonsense": {}})
