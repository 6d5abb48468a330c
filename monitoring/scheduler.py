"""When jobs run: each soon after its window has ended, by the one process that leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.jobs import Job
from monitoring.leader import lease
from monitoring.run import run
from monitoring.timetable import Timetable
from monitoring.trigger import AfterWindow
from monitoring.types import Run, Status
from monitoring.windows import full_since

logger = logging.getLogger(__name__)

SETTLE = timedelta(minutes=2)
"""How long after its end a window is looked at, so that the log's last batches have arrived."""

POLL_SECONDS = 5.0
"""How often the leader shows that it lives, and a stand-by asks for the lease."""

LONG = timedelta(hours=1)
LONG_AT_ONCE = 4
"""Jobs with windows of an hour or more that run side by side: each takes two connections or three,
and at midnight all are due."""

CONNECTIONS = 40
"""What the engine of `serve` must be able to open at once."""

NO_SLOT: AbstractAsyncContextManager[None] = nullcontext()

CATCH_UP = 48
"""The most windows of a job that are done after a standstill, the latest of them."""

Told = Callable[[Run], None]


async def catch_up(
    job: Job,
    engine: AsyncEngine,
    *,
    now: Callable[[], datetime],
    told: Told,
    settle: timedelta = SETTLE,
    poll_seconds: float = POLL_SECONDS,
    slot: AbstractAsyncContextManager[None] = NO_SLOT,
) -> None:
    """Run a job over every window that has ended since its last run; at first only the latest.

    A window that failed last is tried once more; none is left out because another process has it.
    """
    async with slot:
        at = now() - settle
        last = await runs.latest(engine, job.name)
        limit = 1 if job.only_newest or last is None else CATCH_UP
        since = datetime.min.replace(tzinfo=UTC)
        if last is not None:
            failed = last.status is Status.FAILED and not job.only_newest
            since = last.window.start if failed else last.window.end
        for window in full_since(job.every, since, at, limit=limit):
            # Another process is at it, or was just killed at it: its record or its lock will come,
            # and only Postgres knows when.
            while (done := await run(job, window, engine, now=now)) is None:  # noqa: ASYNC110
                await asyncio.sleep(poll_seconds)
            told(done)


async def serve(
    jobs: Sequence[Job],
    engine: AsyncEngine,
    stop: asyncio.Event,
    *,
    now: Callable[[], datetime],
    told: Told,
    poll_seconds: float = POLL_SECONDS,
    settle: timedelta = SETTLE,
) -> None:
    """Lead, or stand by until the leader is gone, until `stop` is set.

    Limits: a stand-by takes over within `poll_seconds` of the end of the leader's session: 5 s
    after it was killed, 25 s after it began to hang.
    Errors: none while Postgres is away: it is asked again every `poll_seconds`.
    """
    standing_by = False
    while not stop.is_set():
        try:
            async with lease(engine) as held:
                if held is None:
                    if not standing_by:
                        logger.info("another scheduler leads; standing by")
                    standing_by = True
                else:
                    standing_by = False
                    logger.info("this scheduler leads")
                    timing = {"now": now, "told": told, "settle": settle}
                    scheduler = _start(jobs, engine, {**timing, "poll_seconds": poll_seconds})
                    try:
                        while not stop.is_set() and await held.holds():
                            await _pause(stop, poll_seconds)
                    finally:
                        scheduler.shutdown(wait=False)
        except SQLAlchemyError as error:
            logger.warning("Postgres is away: %s", type(error).__name__)
        await _pause(stop, poll_seconds)


def _start(jobs: Sequence[Job], engine: AsyncEngine, options: dict[str, Any]) -> AsyncIOScheduler:
    timetable = Timetable(
        engine.url.render_as_string(hide_password=False), [job.name for job in jobs]
    )
    scheduler = AsyncIOScheduler(timezone=UTC, jobstores={"default": timetable})
    # Those that are due every few minutes never wait for those that take minutes.
    slots = asyncio.Semaphore(LONG_AT_ONCE)
    for job in jobs:
        scheduler.add_job(
            catch_up,
            AfterWindow(job.every, options["settle"]),
            args=(job, engine),
            kwargs={**options, "slot": slots if job.every >= LONG else nullcontext()},
            id=job.name,
            replace_existing=True,
            # What a new leader finds undone it does at once.
            next_run_time=options["now"](),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
    scheduler.start()
    return scheduler


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
