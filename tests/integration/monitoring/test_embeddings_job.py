"""The job that gives prompts their vectors, and the drift job that need not make them again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine
from guardrails.exchange_log.rollups import catch_up
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.settings import Settings
from monitoring.connected import connected
from monitoring.drift_frames import drawn
from monitoring.jobs import embeddings, prompt_drift
from monitoring.types import Status, Window
from tests.factories import make_blocked, make_exchange

DAY = timedelta(days=1)
START = datetime(2026, 11, 23, tzinfo=UTC)
TODAY = Window(START, START + DAY)


class Worker:
    """Stands where the inference worker's client would, and counts what it is asked."""

    def __init__(self) -> None:
        self.read = 0

    async def embed(self, texts: Sequence[str], *, timeout_seconds: float) -> list[list[float]]:
        self.read += len(texts)
        return [[1.0] + [0.0] * 383 for _ in texts]


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    log = ExchangeLog(postgres_url, 10_000)
    await log.start()
    for n in range(40):
        assert log.append(make_exchange(f"question {n}", started_at=START + timedelta(minutes=n)))
    assert log.append(make_blocked(started_at=START))
    await log.stop()
    engine = make_engine(postgres_url)
    async with connected(engine) as connection:
        await catch_up(connection)
    yield engine
    await engine.dispose()


async def test_a_run_says_how_many_of_how_many_have_a_vector(engine, tmp_path: Path):
    settings = Settings(data_dir=tmp_path, embed_share=1.0, embed_per_minute=30)
    done = await embeddings.run(TODAY, engine, inference=Worker(), settings=settings)
    assert (done.status, done.n) == (Status.OK, 30)
    assert "30 of the last day's 41 exchanges have a vector" in done.message
    assert done.figures[1].value == pytest.approx(30 / 41)


async def test_without_a_worker_or_a_budget_it_says_so_and_is_no_good_news(engine, tmp_path: Path):
    away = await embeddings.run(TODAY, engine, settings=Settings(data_dir=tmp_path))
    assert away.status is Status.NO_DATA
    assert "not running" in away.message
    off = await embeddings.run(
        TODAY, engine, settings=Settings(data_dir=tmp_path, embed_per_minute=0)
    )
    assert off.status is Status.NO_DATA
    assert "turned off" in off.message


async def test_no_prompt_is_embedded_twice(engine, tmp_path: Path):
    settings = Settings(data_dir=tmp_path, embed_share=0.5, embed_per_minute=100)
    worker = Worker()
    await embeddings.run(TODAY, engine, inference=worker, settings=settings)
    assert 0 < worker.read < 41
    sample = await drawn(engine, TODAY)
    vectors = await prompt_drift._embedded(engine, worker, sample)
    assert vectors.shape == (41, 384)
    assert worker.read == 41, "the drift job made only those that were missing, and kept them"
    await prompt_drift._embedded(engine, worker, sample)
    assert worker.read == 41
