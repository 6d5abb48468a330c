"""Monitoring over a real log: each job, and the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.jobs import load
from monitoring.run import run
from monitoring.types import Status
from monitoring.windows import last_full
from tests.integration.monitoring.traffic import HOUR, NOW, an_hour_of_traffic, fill, now


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


async def test_partitions_are_made_ahead_and_only_once(engine: AsyncEngine):
    day = last_full(timedelta(days=1), NOW)
    job = load("partitions")
    assert (await job.run(day, engine)).figures[0].value == 8
    assert (await job.run(day, engine)).figures[0].value == 0


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
