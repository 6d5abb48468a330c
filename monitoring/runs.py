"""What became of each job and window: one record each, in the table `monitor_runs`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.tables import monitor_runs
from monitoring.types import Outcome, Run, Status, Window

SHORTEST_SHOWN = timedelta(minutes=5)
_REPEATABLE = (Status.FAILED, Status.NO_DATA)
"""A run that ended so may be done again for the same window; what was measured stands."""

_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))")


async def find(engine: AsyncEngine, job: str, window: Window) -> Run | None:
    """The record of a job over exactly this window, if it ran."""
    table = monitor_runs.c
    statement = select(monitor_runs).where(
        table.job == job, table.window_start == window.start, table.window_end == window.end
    )
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _run(row)


def stands(run: Run | None) -> bool:
    """Whether a run need not be done again."""
    return run is not None and run.status not in _REPEATABLE


@asynccontextmanager
async def claim(engine: AsyncEngine, job: str, window: Window) -> AsyncIterator[bool]:
    """Whether this process alone may run the job over the window, until the block ends.

    The claim is a session's advisory lock: it ends with the process, whatever ends that, and holds
    no transaction open while the job takes its time.
    """
    key = {"key": f"monitor:{job}:{window.start.isoformat()}:{window.end.isoformat()}"}
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        asked = await connection.execute(_LOCK, key)
        granted = bool(asked.scalar_one())
        try:
            yield granted
        finally:
            if granted:
                # A session that is gone has taken its lock along.
                with suppress(SQLAlchemyError):
                    await connection.execute(_UNLOCK, key)


async def record(engine: AsyncEngine, run: Run) -> None:
    """Write a run, in the place of an earlier one that failed or had no data."""
    values = {
        "job": run.job,
        "window_start": run.window.start,
        "window_end": run.window.end,
        "status": run.status.value,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "result": msgspec.to_builtins(run.outcome),
        "error": run.outcome.message if run.status is Status.FAILED else None,
    }
    statement = insert(monitor_runs).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["job", "window_start", "window_end"],
        set_={name: statement.excluded[name] for name in values},
        where=monitor_runs.c.status.in_([status.value for status in _REPEATABLE]),
    )
    async with engine.begin() as connection:
        await connection.execute(statement)


async def latest_of_each(engine: AsyncEngine) -> list[Run]:
    """The run of every job whose window ended last, by the job's name."""
    statement = (
        select(monitor_runs)
        .ext(distinct_on(monitor_runs.c.job))
        .order_by(monitor_runs.c.job, monitor_runs.c.window_end.desc())
    )
    async with engine.connect() as connection:
        return [_run(row) for row in await connection.execute(statement)]


async def recent(engine: AsyncEngine, *, limit: int = 50) -> list[Run]:
    """The runs that finished last, newest first; not those of each minute, which hide the rest."""
    length = monitor_runs.c.window_end - monitor_runs.c.window_start
    statement = (
        select(monitor_runs)
        .where(length >= SHORTEST_SHOWN)
        .order_by(monitor_runs.c.finished_at.desc())
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [_run(row) for row in await connection.execute(statement)]


async def latest(engine: AsyncEngine, job: str) -> Run | None:
    """A job's run over its latest window; None before its first run."""
    table = monitor_runs.c
    statement = (
        select(monitor_runs).where(table.job == job).order_by(table.window_end.desc()).limit(1)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _run(row)


async def of_job(engine: AsyncEngine, job: str, *, limit: int) -> list[Run]:
    """A job's runs over its latest windows, the newest first."""
    table = monitor_runs.c
    statement = (
        select(monitor_runs).where(table.job == job).order_by(table.window_end.desc()).limit(limit)
    )
    async with engine.connect() as connection:
        return [_run(row) for row in await connection.execute(statement)]


def _run(row: Row[Any]) -> Run:
    return Run(
        job=row.job,
        window=Window(row.window_start, row.window_end),
        outcome=msgspec.convert(row.result, Outcome),
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
