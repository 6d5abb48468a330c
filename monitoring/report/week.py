"""Which week? An ISO week in UTC, from Monday to Sunday, by its name: `2026-W47`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from monitoring.types import Window

WEEK = timedelta(days=7)

_NAME = re.compile(r"(\d{4})-?W(\d{2})")


def window_of(name: str) -> Window:
    """The week of a name. Errors: ValueError where there is no such week."""
    match = _NAME.fullmatch(name.strip().upper())
    if match is None:
        raise ValueError(f"{name!r} is no week: write it as 2026-W47")
    start = datetime.combine(date.fromisocalendar(int(match[1]), int(match[2]), 1), time(), UTC)
    return Window(start, start + WEEK)


def name_of(window: Window) -> str:
    """The name of a week. Errors: ValueError for a span that is none."""
    start = window.start.astimezone(UTC)
    if window.end - window.start != WEEK or start.weekday() or start.time() != time():
        raise ValueError(f"from {window.start} to {window.end} is no week from a Monday")
    year, week, _ = start.isocalendar()
    return f"{year}-W{week:02d}"


def before(window: Window, weeks: int) -> list[Window]:
    """The weeks before, the oldest first."""
    return [Window(window.start - n * WEEK, window.end - n * WEEK) for n in range(weeks, 0, -1)]
