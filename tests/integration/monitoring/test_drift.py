"""The drift jobs over a real log: references frozen once, evidence kept, changes found."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import GuardUnavailable
from guardrails.exchange_log.tables import drift_references, drift_states
from guardrails.inference.client import InferenceClient
from guardrails.types import Exchange
from monitoring import drift_reports
from monitoring.drift_frames import Versions, counts, days_under, drawn, slices_of, versions
from monitoring.jobs import load, prompt_drift
from monitoring.run import run
from monitoring.types import Outcome, Run, Status, Window
from tests.factories import make_blocked, make_check, make_exchange
from tests.integration.monitoring.traffic import fill, now

ROOT = Path(__file__).parents[3]
MONDAY = datetime(2026, 10, 26, tzinfo=UTC)
DAY, SIX_HOURS = timedelta(days=1), timedelta(hours=6)
CHANGE = MONDAY + 14 * DAY
USUAL = "the of and to in is that it for you what how are with this on be as my do can not"
UNUSUAL = ["jazz quiz", "fuzzy quartz", "jinx squeeze", "zigzag jukebox", "wax equinox"]


def a_day(day: datetime, rng: np.random.Generator, n: int, *, blocked: float, new: float = 0.0):
    exchanges: list[Exchange] = []
    for number in range(n):
        at = day + DAY * ((number + 0.5) / n)
        words = " ".join(rng.choice(USUAL.split(), 12))
        question = f"{words}?"
        if rng.random() < new:
            question = f"{rng.choice(UNUSUAL)} {rng.choice(UNUSUAL)} {rng.choice(UNUSUAL)}"
        make = make_blocked if rng.random() < blocked else make_exchange
        score = float(rng.beta(1, 9))
        options = {"started_at": at, "checks": (make_check(score=score),)}
        if make is make_blocked:
            options |= {"upstream_model": "demo@1"}
        exchanges.append(make(question, **options))
    return exchanges


async def two_weeks(url: str, *, n: int, blocked: float = 0.05) -> np.random.Generator:
    rng = np.random.default_rng(17)
    rows = [row for day in range(14) for row in a_day(MONDAY + day * DAY, rng, n, blocked=blocked)]
    await fill(url, rows)
    return rng


async def counted(engine: AsyncEngine, table) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def test_without_a_reference_there_is_no_data(engine: AsyncEngine):
    for name, length in (("rate_drift", SIX_HOURS), ("score_drift", DAY)):
        done = await run(load(name), Window(CHANGE, CHANGE + length), engine, now=now)
        assert done is not None
        assert done.status is Status.NO_DATA
        assert "no reference yet" in done.outcome.message
    assert await counted(engine, drift_references) == 0


async def test_counts_by_slice_and_what_is_drawn_agree(postgres_url: str, engine: AsyncEngine):
    rows = a_day(MONDAY, np.random.default_rng(1), 40, blocked=0.3)
    refusal = make_exchange(reply="I’m sorry, I can’t help.", started_at=MONDAY, route="code")
    unchecked = make_exchange(started_at=MONDAY, checks=())
    await fill(postgres_url, [*rows, refusal, unchecked])
    window = Window(MONDAY, MONDAY + DAY)
    found = await counts(engine, window, SIX_HOURS)
    everything = [one for one in found if one.slice == "all"]
    assert len(everything) == 4
    assert sum(one.n["block"] for one in everything) == 42
    blocked = sum(row.blocked for row in rows)
    assert sum(one.hits["block"] for one in everything) == blocked
    assert sum(one.n["refusal"] for one in everything) == 42 - blocked
    code = next(one for one in found if one.slice == "route=code")
    assert (code.start, code.hits["refusal"], code.n["block"]) == (MONDAY, 1, 1)
    assert sum(one.hits["no_check"] for one in everything) == 1
    sample = await drawn(engine, window)
    assert len(sample) == 42
    assert sum(one.outcome["block"] for one in sample) == blocked
    assert sum(one.outcome["refusal"] for one in sample) == 1
    assert [one.started_at for one in sample] == sorted(one.started_at for one in sample)
    assert sample[-1].slices[3:] == ("model=demo", "language=en")
    assert list(sample[-1].scores) == ["toxicity/insult on input"]
    assert 5 < len(await drawn(engine, window, most=20)) < 40


async def test_versions_and_the_days_that_ran_under_them(postgres_url: str, engine: AsyncEngine):
    rng = np.random.default_rng(2)
    old = [row.evolve(policy_version="default@old") for row in a_day(MONDAY, rng, 10, blocked=0.0)]
    recent = [row for day in (2, 3) for row in a_day(MONDAY + day * DAY, rng, 10, blocked=0.2)]
    await fill(postgres_url, [*old, *recent])
    ran = await versions(engine, Window(MONDAY + 3 * DAY, MONDAY + 4 * DAY))
    assert ran == Versions("default@0123456789ab", "feedc0ffee00", "demo@1")
    # The second day is empty, the first ran under another policy.
    assert await days_under(engine, ran, MONDAY + 4 * DAY, most=28) == 2
    assert slices_of([("all", 9), ("b", 5), ("a", 7), ("c", 1)], least=2, most=2) == ("all", "a")


async def test_rates_that_rise_are_found_and_a_window_that_is_run_again_counts_once(
    postgres_url: str, engine: AsyncEngine
):
    rng = await two_weeks(postgres_url, n=80)
    await fill(postgres_url, a_day(CHANGE, rng, 80, blocked=0.05))
    await fill(
        postgres_url,
        [row for d in (1, 2) for row in a_day(CHANGE + d * DAY, rng, 160, blocked=0.4)],
    )
    job = load("rate_drift")
    done: list[Run] = []
    for number in range(12):
        start = CHANGE + number * SIX_HOURS
        one = await run(job, Window(start, start + SIX_HOURS), engine, now=now)
        assert one is not None
        done.append(one)
    # 20 exchanges in six hours are too few to call a rate, and enough to bet on.
    assert {one.status for one in done[:4]} == {Status.NO_DATA}
    assert done[-1].status is Status.DRIFT
    first = next(at for at, one in enumerate(done) if one.status is Status.DRIFT)
    assert first <= 7
    assert "block on all since 2026-11-10" in done[first].outcome.message
    block = next(f for f in done[-1].outcome.figures if f.name == "block rate")
    assert block.status is Status.DRIFT
    assert block.value > 0.2
    assert await counted(engine, drift_references) == 1
    assert await counted(engine, drift_states) == 12
    again: Outcome = await job.run(done[6].window, engine)
    assert again == done[6].outcome
    assert await counted(engine, drift_states) == 12


@pytest.mark.timeout(300)
async def test_scores_that_moved_are_found_beside_evidently(postgres_url: str, engine: AsyncEngine):
    rng = await two_weeks(postgres_url, n=60)
    today = CHANGE + timedelta(hours=3)
    rows = [
        make_exchange(started_at=today, checks=(make_check(score=float(rng.beta(3, 9))),))
        for _ in range(600)
    ]
    await fill(postgres_url, rows)
    done = await run(load("score_drift"), Window(CHANGE, CHANGE + DAY), engine, now=now)
    assert done is not None
    assert done.status is Status.DRIFT
    figure = next(f for f in done.outcome.figures if f.name == "toxicity/insult on input")
    assert figure.status is Status.DRIFT
    assert figure.value > 0.1
    assert "since 2026-11-09" in (figure.note or "")
    whole = done.outcome.figures[-1]
    assert (whole.name, whole.unit) == ("Evidently's whole report", "bytes")
    assert "--report FILE" in (whole.note or "")
    (kept,) = await drift_reports.latest(engine, "score_drift")
    html = await drift_reports.find(engine, "score_drift", done.window)
    assert html is not None
    assert len(html) == kept.bytes == whole.value
    assert b"toxicity/insult on input" in html
    assert await drift_reports.find(engine, "rate_drift", done.window) is None


@pytest.fixture
def worker() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bm") as directory:
        path = Path(directory) / "worker.sock"
        tiny = ROOT / "tests" / "integration" / "tiny_worker.py"
        process = subprocess.Popen(
            [sys.executable, str(tiny), "--socket", str(path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        )
        yield path
        process.kill()
        process.wait(10)


@pytest.fixture
async def inference(worker: Path) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(worker)
    async with asyncio.timeout(30):
        while True:
            try:
                await client.describe()
                break
            except GuardUnavailable:
                await asyncio.sleep(0.05)
    yield client
    await client.close()


async def test_a_new_topic_is_found_and_its_exchanges_are_named(
    postgres_url: str, engine: AsyncEngine, inference: InferenceClient
):
    rng = await two_weeks(postgres_url, n=60)
    usual = a_day(CHANGE, rng, 300, blocked=0.0)
    strange = a_day(CHANGE + DAY, rng, 300, blocked=0.0, new=0.15)
    await fill(postgres_url, [*usual, *strange])
    outcome = await prompt_drift.run(Window(CHANGE, CHANGE + DAY), engine, inference=inference)
    assert outcome.status is Status.OK
    window = Window(CHANGE + DAY, CHANGE + 2 * DAY)
    outcome = await prompt_drift.run(window, engine, inference=inference)
    assert outcome.status is Status.DRIFT
    cluster = next(f for f in outcome.figures if f.name == "cluster 1")
    named = (cluster.note or "").partition("; ")[2].split(", ")
    asked = {row.id: row.inputs[0].text for row in strange}
    assert all(asked[one].split()[0] in " ".join(UNUSUAL) for one in named)
    assert await prompt_drift.run(window, engine, inference=inference) == outcome


async def test_prompts_without_a_worker_are_a_failed_run(postgres_url: str, engine: AsyncEngine):
    rng = await two_weeks(postgres_url, n=40)
    await fill(postgres_url, a_day(CHANGE, rng, 5, blocked=0.0))
    with tempfile.TemporaryDirectory() as directory:
        away = InferenceClient(Path(directory) / "nobody.sock")
        with pytest.raises(GuardUnavailable):
            await prompt_drift.run(Window(CHANGE, CHANGE + DAY), engine, inference=away)
