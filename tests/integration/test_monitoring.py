"""Monitoring over a real log: jobs, their records, and who leads."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Action, Exchange, Failure, Verdict
from monitoring import runs
from monitoring.frames import scores
from monitoring.jobs import Job, load
from monitoring.leader import LOCK, lease
from monitoring.run import run
from monitoring.scheduler import catch_up, serve
from monitoring.types import Outcome, Run, Status, Window
from monitoring.windows import last_full
from tests.factories import make_blocked, make_check, make_exchange, make_reason

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
HOUR = last_full(timedelta(hours=1), NOW)


def now() -> datetime:
    return NOW


async def fill(url: str, exchanges: list[Exchange]) -> None:
    log = ExchangeLog(url, 100_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()


def an_hour_of_traffic() -> list[Exchange]:
    at = HOUR.start + timedelta(minutes=7)
    flagged = Verdict(Action.FLAG, (make_reason(action=Action.FLAG),))
    return [
        *(make_exchange(started_at=at + timedelta(seconds=n)) for n in range(40)),
        *(make_blocked(started_at=at) for _ in range(6)),
        make_exchange(started_at=at, verdict=flagged),
        make_exchange(started_at=at, failure=Failure("upstream_error", "No upstream.", 502)),
        make_exchange(started_at=at, checks=(make_check(detections=(), error="deadline"),)),
        make_exchange(started_at=HOUR.end),
    ]


async def test_rates_count_the_hour_and_nothing_beside_it(postgres_url: str, engine: AsyncEngine):
    await fill(postgres_url, an_hour_of_traffic())
    done = await run(load("rates"), HOUR, engine, now=now)
    assert done.status is Status.OK
    assert done.outcome.n == 49
    counts = {f.name: round(f.value * f.n) for f in done.outcome.figures}
    assert counts == {
        "block rate": 6,
        "flag rate": 1,
        "redact rate": 0,
        "failed rate": 1,
        "check_failed rate": 1,
    }
    assert await runs.latest_of_each(engine) == [done]


async def test_empty_hour_is_recorded_as_no_data(engine: AsyncEngine):
    done = await run(load("rates"), HOUR, engine, now=now)
    assert done.status is Status.NO_DATA
    assert [r.status for r in await runs.recent(engine)] == [Status.NO_DATA]


async def test_scores_are_the_highest_of_each_label_in_each_exchange(
    postgres_url: str, engine: AsyncEngine
):
    await fill(postgres_url, an_hour_of_traffic())
    found = await scores(engine, HOUR)
    assert found.n == 49
    assert sorted(found.columns) == ["toxicity/insult on input", "toxicity/insult on output"]
    assert sorted(found.columns["toxicity/insult on input"])[-7:] == [0.02, *[0.93] * 6]
    drawn = await scores(engine, HOUR, max_exchanges=24)
    assert 5 < len(drawn.columns["toxicity/insult on input"]) < 44


async def test_score_drift_without_enough_rows_is_no_data(postgres_url: str, engine: AsyncEngine):
    await fill(postgres_url, an_hour_of_traffic())
    day = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
    done = await run(load("score_drift"), day, engine, now=now)
    assert done.status is Status.NO_DATA
    assert {f.status for f in done.outcome.figures} == {Status.NO_DATA}


@pytest.mark.timeout(300)
async def test_score_drift_finds_scores_that_moved(postgres_url: str, engine: AsyncEngine):
    day = Window(datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
    before, today = day.start - timedelta(hours=30), day.start + timedelta(hours=3)
    await fill(
        postgres_url,
        [make_exchange(started_at=before, checks=(make_check(score=n / 6000),)) for n in range(600)]
        + [
            make_exchange(started_at=today, checks=(make_check(score=n / 900),)) for n in range(600)
        ],
    )
    done = await run(load("score_drift"), day, engine, now=now)
    assert done.status is Status.DRIFT
    assert done.outcome.figures[0].name == "toxicity/insult on input"
    assert done.outcome.figures[0].value > 0.1


async def test_partitions_are_made_ahead_and_only_once(engine: AsyncEngine):
    day = last_full(timedelta(days=1), NOW)
    job = load("partitions")
    assert (await job.run(day, engine)).figures[0].value == 8
    assert (await job.run(day, engine)).figures[0].value == 0


class Counting:
    """A job that counts how often it ran, and ends as told."""

    def __init__(self, status: Status = Status.OK, fault: Exception | None = None) -> None:
        self.windows: list[Window] = []
        self.status = status
        self.fault = fault

    async def run(self, window: Window, engine: AsyncEngine) -> Outcome:
        self.windows.append(window)
        await asyncio.sleep(0.02)
        if self.fault is not None:
            raise self.fault
        return Outcome(self.status, 1, "done")

    @property
    def job(self) -> Job:
        return Job("counting", timedelta(hours=1), self.run)


@pytest.mark.parametrize(
    ("status", "times"), [(Status.OK, 1), (Status.DRIFT, 1), (Status.NO_DATA, 2)]
)
async def test_window_that_was_measured_is_not_run_again(
    engine: AsyncEngine, status: Status, times: int
):
    counting = Counting(status)
    first = await run(counting.job, HOUR, engine, now=now)
    assert await run(counting.job, HOUR, engine, now=now) == first
    assert len(counting.windows) == times
    assert len(await runs.recent(engine)) == 1


async def test_two_at_once_run_a_window_once(engine: AsyncEngine):
    counting = Counting()
    done = await asyncio.gather(*(run(counting.job, HOUR, engine, now=now) for _ in range(3)))
    assert len(counting.windows) == 1
    assert len([one for one in done if one is not None]) == 1


async def test_job_that_raises_is_recorded_as_failed_and_may_be_repeated(engine: AsyncEngine):
    failing = Counting(fault=ValueError("no such column"))
    done = await run(failing.job, HOUR, engine, now=now)
    assert done.status is Status.FAILED
    assert done.outcome.message == "ValueError: no such column"
    failing.fault = None
    assert (await run(failing.job, HOUR, engine, now=now)).status is Status.OK
    assert [one.status for one in await runs.recent(engine)] == [Status.OK]


async def test_standstill_is_caught_up_window_by_window(engine: AsyncEngine):
    counting = Counting()
    told: list[Run] = []
    await catch_up(counting.job, engine, now=now, told=told.append)
    assert [w.start.hour for w in counting.windows] == [6]
    later = NOW + timedelta(hours=3)
    await catch_up(counting.job, engine, now=lambda: later, told=told.append)
    assert [w.start.hour for w in counting.windows] == [6, 7, 8, 9]
    assert [one.window for one in told] == counting.windows


async def test_only_one_lease_is_given_at_a_time(engine: AsyncEngine):
    async with lease(engine) as first:
        assert await first.holds()
        async with lease(engine) as second:
            assert second is None
    async with lease(engine) as third:
        assert third is not None


async def test_stand_by_takes_over_when_the_leaders_session_ends(
    postgres_url: str, engine: AsyncEngine
):
    stop = asyncio.Event()
    took_over = Counting()
    done: list[Run] = []
    came = asyncio.Event()

    def told(one: Run) -> None:
        done.append(one)
        came.set()

    async with lease(engine) as leader:
        stand_by = asyncio.create_task(
            serve([took_over.job], engine, stop, now=now, told=told, poll_seconds=0.1)
        )
        await asyncio.sleep(0.5)
        assert took_over.windows == []
        async with engine.connect() as other:
            await other.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                    " AND granted AND (classid::bigint << 32 | objid::bigint) = :lock"
                ),
                {"lock": LOCK},
            )
        await asyncio.wait_for(came.wait(), 10)
        assert not await leader.holds()
        stop.set()
        await stand_by
    assert [one.window for one in done] == [HOUR]


def test_command_runs_one_job_and_the_schedule_stops_when_asked(postgres_url: str):
    environment = {**os.environ, "BANISTER_DATABASE_URL": postgres_url, "COLUMNS": "200"}
    monitor = [sys.executable, "-c", "from monitoring.command import monitor; monitor()"]
    once = subprocess.run(
        [*monitor, "rates", "--at", "2026-11-23T07:40"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "NO_DATA rates, 2026-11-23 06:00 to 2026-11-23 07:00 UTC, n = 0" in once.stdout
    schedule = subprocess.Popen(monitor, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        seen = []
        for line in schedule.stderr:
            seen.append(line)
            if "partitions" in line and "OK" in line:
                break
        schedule.send_signal(signal.SIGTERM)
        schedule.communicate(timeout=20)
        assert schedule.returncode == 0, "".join(seen)
    finally:
        if schedule.poll() is None:
            schedule.kill()
            schedule.communicate()
