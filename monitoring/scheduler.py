"""When jobs run: each soon after its window has ended, by the one process that leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.jobs import Job
from monitoring.leader import lease
from monitoring.run import run
from monitoring.types import Run
from monitoring.windows import EPOCH, full_since

logger = logging.getLogger(__name__)

SETTLE = timedelta(minutes=2)
"""How long after its end a window is looked at, so that the log's last batches have arrived."""

CATCH_UP = 48
"""The most windows of a job that are done after a standstill, the latest of them."""

Told = Callable[[Run], None]


async def catch_up(
    job: Job, engine: AsyncEngine, *, now: Callable[[], datetime], told: Told
) -> None:
    """Run a job over every window that has ended since its last run; at first only the latest."""
    at = now() - SETTLE
    last = await runs.last_window_end(engine, job.name)
    limit = 1 if job.only_newest or last is None else CATCH_UP
    since = last or datetime.min.replace(tzinfo=UTC)
    for window in full_since(job.every, since, at, limit=limit):
        done = await run(job, window, engine, now=now)
        if done is not None:
            told(done)


async def serve(
    jobs: Sequence[Job],
    engine: AsyncEngine,
    stop: asyncio.Event,
    *,
    now: Callable[[], datetime],
    told: Told,
    poll_seconds: float = 5.0,
) -> None:
    """Lead, or stand by until the leader is gone, until `stop` is set.

    Limits: a stand-by takes over within `poll_seconds` of the end of the leader's session.
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
                    scheduler = _start(jobs, engine, now=now, told=told)
                    try:
                        while not stop.is_set() and await held.holds():
                            await _pause(stop, poll_seconds)
                    finally:
                        scheduler.shutdown(wait=False)
        except SQLAlchemyError as error:
            logger.warning("Postgres is away: %s", type(error).__name__)
        await _pause(stop, poll_seconds)


def _start(
    jobs: Sequence[Job], engine: AsyncEngine, *, now: Callable[[], datetime], told: Told
) -> AsyncIOScheduler:
    scheduler = AsyncIOScheduler(timezone=UTC)
    for job in jobs:
        scheduler.add_job(
            catch_up,
            IntervalTrigger(
                seconds=int(job.every.total_seconds()), start_date=EPOCH + SETTLE, timezone=UTC
            ),
            args=(job, engine),
            kwargs={"now": now, "told": told},
            id=job.name,
            # What a new leader finds undone it does at once.
            next_run_time=now(),
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
