"""How one job runs over one window: once, alone, and never without a record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.jobs import Job
from monitoring.types import Outcome, Run, Status, Window

logger = logging.getLogger(__name__)


async def run(
    job: Job, window: Window, engine: AsyncEngine, *, now: Callable[[], datetime]
) -> Run | None:
    """Do a job over a window and record it; the earlier record where it was done before.

    Limits: None when another process is at this very window now: its record will stand.
    Errors: whatever the job raises becomes a run with status FAILED.
    """
    async with runs.claim(engine, job.name, window) as granted:
        if not granted:
            return None
        earlier = await runs.find(engine, job.name, window)
        if earlier is not None and runs.stands(earlier):
            return earlier
        done = await measured(job, window, engine, now=now)
        await runs.record(engine, done)
    return done


async def measured(
    job: Job, window: Window, engine: AsyncEngine, *, now: Callable[[], datetime]
) -> Run:
    """What a job finds in a window; nothing is recorded. Errors: none, they become FAILED."""
    started_at = now()
    try:
        outcome = await job.run(window, engine)
    # A job may fail in any way; a run without a record would look like one that never was due.
    except Exception as error:
        logger.exception("job %s failed over %s", job.name, window.start)
        outcome = Outcome(Status.FAILED, 0, f"{type(error).__name__}: {error}"[:500])
    return Run(job.name, window, outcome, started_at, now())
