"""A scheduler in a process of its own, to be killed: `scheduler_process.py URL POLL_SECONDS`.

Its one job takes 0.4 s for each window of a second, and leaves a row when it is done. What it does
is told on stdout, a line each: `leads`, `begins WINDOW`, `done WINDOW`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine
from monitoring.jobs import Job
from monitoring.scheduler import serve
from monitoring.types import Outcome, Status, Window

LEAVE = text("INSERT INTO done (window_start, process) VALUES (:start, :process)")


def say(*words: object) -> None:
    print(*words, flush=True)


async def tick(window: Window, engine: AsyncEngine) -> Outcome:
    say("begins", window.start.isoformat())
    await asyncio.sleep(0.4)
    async with engine.begin() as connection:
        await connection.execute(LEAVE, {"start": window.start, "process": os.getpid()})
    return Outcome(Status.OK, 1, f"process {os.getpid()}")


class Leads(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if "leads" in record.getMessage() and "another" not in record.getMessage():
            say("leads")


async def main(url: str, poll_seconds: float) -> None:
    logger = logging.getLogger("monitoring.scheduler")
    logger.setLevel(logging.INFO)
    logger.addHandler(Leads())
    await serve(
        [Job("ticking", timedelta(seconds=1), tick)],
        make_engine(url),
        asyncio.Event(),
        now=lambda: datetime.now(UTC),
        told=lambda run: say("done", run.window.start.isoformat()),
        poll_seconds=poll_seconds,
        settle=timedelta(),
    )


asyncio.run(main(sys.argv[1], float(sys.argv[2])))
