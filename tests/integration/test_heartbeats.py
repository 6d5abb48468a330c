"""A process tells of itself, in the real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import system
from guardrails.heartbeats import Heartbeat


async def rows(engine: AsyncEngine, at: datetime) -> list[system.Process]:
    async with engine.connect() as connection:
        return await system.processes(connection, at)


async def test_a_process_is_seen_while_it_runs_and_missed_when_it_is_silent(
    postgres_url: str, engine: AsyncEngine
):
    counts = iter(range(1_000))

    async def status():
        return {"ready": True, "count": next(counts), "upstreams": [{"name": "a"}]}

    heartbeat = Heartbeat(postgres_url, "proxy", status, period_seconds=0.02)
    await heartbeat.stop()
    heartbeat.start()
    now = datetime.now(UTC)
    async with asyncio.timeout(20):
        while not (found := await rows(engine, now)) or found[0].status["count"] < 2:
            await asyncio.sleep(0.02)
    (one,) = found
    assert (one.kind, one.ready, one.missing, one.log) == ("proxy", True, False, {})
    assert one.upstreams == [{"name": "a"}]
    (late,) = await rows(engine, datetime.now(UTC) + system.MISSING + timedelta(seconds=1))
    assert (late.missing, late.ready) == (True, False)
    await heartbeat.stop()
    assert await rows(engine, now) == []


async def test_a_database_that_is_away_does_not_matter(caplog):
    async def status():
        return {}

    heartbeat = Heartbeat("postgresql://127.0.0.1:1/none", "proxy", status, period_seconds=0.02)
    heartbeat.start()
    async with asyncio.timeout(20):
        while "no heartbeat can be written" not in caplog.text:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    await heartbeat.stop()
    assert caplog.text.count("no heartbeat") == 1


async def test_the_database_s_own_figures_are_read(engine: AsyncEngine):
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO log_spools (id, position, lost)"
                                      " VALUES (gen_random_uuid(), 7, 2)"))  # fmt: skip
        found = await system.database(connection)
    assert (found.lost, found.rejected, found.lag_seconds) == (2, 0, None)
    assert found.database > 1_000_000
