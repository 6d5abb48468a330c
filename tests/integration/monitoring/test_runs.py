"""The records of runs in a real table."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.types import Figure, Outcome, Run, Status, Window
from tests.integration.monitoring.traffic import HOUR, NOW


def a_run(job: str, hour: int, status: Status = Status.OK) -> Run:
    window = Window(HOUR.start + timedelta(hours=hour), HOUR.end + timedelta(hours=hour))
    figure = Figure("block rate", 0.1, "share", 40, status, low=0.05, high=0.2)
    finished = NOW + timedelta(hours=hour)
    return Run(job, window, Outcome(status, 40, "as told", (figure,)), finished, finished)


async def test_records_are_read_back_as_they_were_written(engine: AsyncEngine):
    one, two, other = a_run("rates", 0), a_run("rates", 1), a_run("partitions", 0)
    for each in (one, two, other):
        await runs.record(engine, each)
    assert await runs.latest_of_each(engine) == [other, two]
    assert (await runs.recent(engine, limit=1)) == [two]
    assert await runs.find(engine, "rates", one.window) == one
    assert await runs.find(engine, "score_drift", one.window) is None
    assert await runs.latest(engine, "rates") == two
    assert await runs.latest(engine, "score_drift") is None


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [
        (Status.FAILED, Status.OK, Status.OK),
        (Status.NO_DATA, Status.DRIFT, Status.DRIFT),
        (Status.OK, Status.FAILED, Status.OK),
        (Status.DRIFT, Status.OK, Status.DRIFT),
    ],
)
async def test_what_was_measured_is_never_written_over(
    engine: AsyncEngine, first: Status, second: Status, stands: Status
):
    await runs.record(engine, a_run("rates", 0, first))
    await runs.record(engine, a_run("rates", 0, second))
    (kept,) = await runs.recent(engine)
    assert kept.status is stands


async def test_claim_is_given_once_at_a_time(engine: AsyncEngine):
    async with runs.claim(engine, "rates", HOUR) as first:
        async with runs.claim(engine, "rates", HOUR) as second:
            assert (first, second) == (True, False)
        async with runs.claim(engine, "partitions", HOUR) as other:
            assert other
    async with runs.claim(engine, "rates", HOUR) as again:
        assert again
