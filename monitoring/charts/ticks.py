"""Where do words stand along a chart's time? Ticks that people expect, and labels that fit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from monitoring.charts.spec import Chart, Marker
from monitoring.types import Window

_CHARACTER = 6.6
_DAY = timedelta(days=1)


def across(window: Window) -> tuple[list[datetime], str]:
    """The labelled moments of a window, and the d3 format of their labels.

    Hours in up to two days, each day in up to ten (its name stands in its middle), each Monday in
    up to ten weeks, and the first of each month beyond.
    """
    length = window.end - window.start
    midnight = window.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if length <= 2 * _DAY:
        found, form, each = midnight, "%H:%M", timedelta(hours=6 if length > _DAY / 2 else 2)
    elif length <= 10 * _DAY:
        found, form, each = midnight + _DAY / 2, "%a %d", _DAY
    elif length <= 70 * _DAY:
        found, form, each = midnight - midnight.weekday() * _DAY, "%d %b", 7 * _DAY
    else:
        return _months(window), "%b %Y"
    moments = []
    while found < window.end:
        if found >= window.start:
            moments.append(found)
        found += each
    return moments, form


def rows_of_labels(markers: Sequence[Marker], window: Window, width: int) -> list[tuple[int, bool]]:
    """For each marker the row of its label, 0 being the lowest, and whether it stands to the left.

    A label takes the lowest row in which it overlaps none after it, so that no later marker's
    stroke crosses it; near the right edge it turns.
    """
    taken: list[list[tuple[float, float]]] = []
    placed: list[tuple[int, bool]] = []
    for marker in reversed(markers):
        at = width * ((marker.at - window.start) / (window.end - window.start))
        length = _CHARACTER * len(marker.label) + 12
        turned = at + length > width
        ends = (at - length, at) if turned else (at, at + length)
        row = 0
        while row < len(taken) and any(ends[0] < b and a < ends[1] for a, b in taken[row]):
            row += 1
        if row == len(taken):
            taken.append([])
        taken[row].append(ends)
        placed.append((row, turned))
    return placed[::-1]


def within(chart: Chart) -> list[Marker]:
    """The markers that lie in the chart's window."""
    return [m for m in chart.markers if chart.window.start <= m.at < chart.window.end]


def rows_above(chart: Chart, width: int) -> int:
    """How many rows of labels stand above the plot, which keeps its own height."""
    rows = rows_of_labels(within(chart), chart.window, width)
    return 1 + max((row for row, _ in rows), default=-1)


def _months(window: Window) -> list[datetime]:
    at = window.start.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    moments = []
    while at < window.end:
        if at >= window.start:
            moments.append(at)
        at = (at + 32 * _DAY).replace(day=1)
    return moments
