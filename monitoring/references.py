"""Which reference does a window stand against? The frozen one of its versions, or the last before.

A reference is taken once, from the whole weeks before the first window that finds enough days under
its own model, template and policy. Until there are enough, a changed model is held against the
reference of the one before: that is when drift matters most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import drift_records
from monitoring.drift_frames import days_under, versions
from monitoring.drift_records import Arrays, Reference
from monitoring.types import Window

LEAST_DAYS = 14
MOST_DAYS = 28

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)

Take = Callable[[Window], Awaitable[tuple[int, Arrays] | None]]


async def reference_for(
    engine: AsyncEngine, job: str, window: Window, take: Take
) -> Reference | None:
    """The reference to hold a window against; None while there is none.

    `take` measures a span of days, and gives None where there was too little in it.
    """
    ran = await versions(engine, window)
    own = await drift_records.find(engine, job, str(ran))
    if own is not None and own.window.end <= window.start:
        return own
    midnight = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    if own is None and ran.policy is not None:
        days = await days_under(engine, ran, midnight, most=MOST_DAYS)
        days -= days % 7
        if days >= LEAST_DAYS:
            span = Window(midnight - timedelta(days=days), midnight)
            taken = await take(span)
            if taken is not None:
                return await drift_records.freeze(engine, job, str(ran), span, *taken)
    return await drift_records.latest(engine, job, window.start)


def number_of(start: datetime, length: timedelta) -> int:
    """A window's number, counted from a Monday: the same for every reference."""
    return (start - _MONDAY) // length


def phase_of(number: int, length: timedelta) -> int:
    """Where in the week a window lies."""
    return number % (timedelta(days=7) // length)


def start_of(number: int, length: timedelta) -> datetime:
    """When a window of that number begins."""
    return _MONDAY + number * length
