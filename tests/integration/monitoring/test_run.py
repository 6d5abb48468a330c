"""A job over a window: once, alone, never without a record."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.run import run
from monitoring.types import Status
from tests.integration.monitoring.traffic import HOUR, Counting, now


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
