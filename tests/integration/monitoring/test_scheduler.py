"""The schedule: what was missed, and who takes over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.jobs import Job
from monitoring.leader import LOCK, lease
from monitoring.scheduler import catch_up, serve
from monitoring.types import Outcome, Run, Status, Window
from tests.integration.monitoring.traffic import HOUR, NOW, Counting, now


async def test_standstill_is_caught_up_window_by_window(engine: AsyncEngine):
    counting = Counting()
    told: list[Run] = []
    await catch_up(counting.job, engine, now=now, told=told.append)
    assert [w.start.hour for w in counting.windows] == [6]
    later = NOW + timedelta(hours=3)
    await catch_up(counting.job, engine, now=lambda: later, told=told.append)
    assert [w.start.hour for w in counting.windows] == [6, 7, 8, 9]
    assert [one.window for one in told] == counting.windows


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


async def test_many_jobs_that_are_due_at_once_do_not_wait_for_each_others_connections(
    engine: AsyncEngine,
):
    stop, done = asyncio.Event(), []

    async def reads(window: Window, engine: AsyncEngine) -> Outcome:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(0.05)"))
        return Outcome(Status.OK, 1, "read")

    jobs = [Job(f"job_{number}", timedelta(hours=1), reads) for number in range(15)]

    def told(one: Run) -> None:
        done.append(one)
        if len(done) == len(jobs):
            stop.set()

    # The engine has ten connections, and each job takes two.
    await asyncio.wait_for(serve(jobs, engine, stop, now=now, told=told, poll_seconds=0.1), 25)
    assert {one.status for one in done} == {Status.OK}
