"""Partitions: the exchange log's tables of the coming days exist before the first row of each."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.partitions import DAYS_AHEAD, make_partitions_at
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=1)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Make what is missing from the day after the window to DAYS_AHEAD days later."""
    url = engine.url.render_as_string(hide_password=False)
    days = DAYS_AHEAD + 1
    made = await make_partitions_at(url, window.end.date(), days)
    last = window.end.date() + timedelta(days=DAYS_AHEAD)
    return Outcome(
        Status.OK,
        days,
        f"{len(made)} made, {days - len(made)} there already; ready until {last:%d %b %Y}",
        (Figure("made", len(made), "partitions", days),),
    )
