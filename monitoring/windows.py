"""Which span of time a job looks at: whole hours, days or weeks in UTC that have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitoring.types import Window

EPOCH = datetime(1970, 1, 5, tzinfo=UTC)
"""From where whole periods are counted: a Monday at midnight, so that weeks begin as ISO's do."""


def last_full(period: timedelta, at: datetime) -> Window:
    """The latest whole period that ended at `at` or before; `at` must be aware."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone names no window")
    end = at.astimezone(UTC) - (at - EPOCH) % period
    return Window(end - period, end)


def full_since(period: timedelta, since: datetime, at: datetime, *, limit: int) -> list[Window]:
    """The whole periods that began at `since` or later and have ended by `at`, oldest first.

    Limits: the latest `limit` of them, so that a month of standstill is not caught up all at once.
    """
    latest = last_full(period, at)
    windows: list[Window] = []
    while len(windows) < limit and latest.start >= since:
        windows.append(latest)
        latest = Window(latest.start - period, latest.start)
    return windows[::-1]
