"""Rollups: the log's rows are counted by the minute and their words indexed, each row once."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.rollups import catch_up
from monitoring.connected import connected
from monitoring.types import Outcome, Status, Window

EVERY = timedelta(minutes=1)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Take in every settled row that is not counted yet, whenever it began."""
    async with connected(engine) as connection:
        done = await catch_up(connection)
    return Outcome(Status.OK, done.ranges, f"{done.ranges:,} ranges of transactions taken in")
