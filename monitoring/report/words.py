"""How does the report say in words what its numbers say?"""

from __future__ import annotations

from datetime import UTC, datetime

from monitoring.charts.numbers import interval, number, signed
from monitoring.report.document import Number, Report

_SPACE = "\N{NO-BREAK SPACE}"


def verdict(report: Report) -> str:
    """The week in two or three sentences; what is not known is said first."""
    if not report.n:
        return "No exchange was recorded in this week, so nothing can be said of its safety."
    silent = [one.name.lower() for one in report.headlines if one.value is None]
    moved = [one for one in report.headlines if one.change is not None and one.change.changed]
    worse = [one for one in moved if direction(one) == "worse"]
    parts = []
    if moved:
        told = "; ".join(_moved(one) for one in moved)
        parts.append(f"{len(moved)} of {len(report.headlines)} headline numbers changed: {told}.")
    else:
        parts.append("No headline number changed beyond chance.")
    if moved and not worse:
        parts.append("None of them for the worse.")
    if silent:
        parts.append(f"No data: {', '.join(silent)}.")
    critical = sum(one.severity == "critical" for one in report.incidents)
    alerts = len(report.incidents)
    if alerts:
        parts.append(f"{alerts} alert{'s' * (alerts != 1)}, {critical} of them critical.")
    return " ".join(parts)


def direction(one: Number) -> str:
    """`better`, `worse` or `changed` where it changed; `` where it did not, as far as is known."""
    change = one.change
    if change is None or not change.changed or change.value is None:
        return ""
    if one.good is None:
        return "changed"
    return "better" if (change.value > 0) == (one.good == "up") else "worse"


def value_of(one: Number) -> str:
    """The number with its unit, or `no data`."""
    return number(one.value, one.unit)


def interval_of(one: Number) -> str:
    """Its 95 % interval; nothing for a count."""
    return interval(one.low, one.high, one.unit)


def before_of(one: Number) -> str:
    """What it was in the four weeks before."""
    if one.change is None or one.change.before is None:
        return "–"
    return number(one.change.before, one.unit)


def change_of(one: Number) -> str:
    """By how much it moved, with the interval of that; of a count only the ratio."""
    change = one.change
    if change is None or change.before is None or one.value is None:
        return "–"
    if change.value is None:
        if not change.before:
            return "–"
        return f"{signed(100 * (one.value / change.before - 1))}{_SPACE}%"
    if one.unit == "seconds":
        low, high = (1000 * (edge or 0.0) for edge in (change.low, change.high))
        return f"{signed(1000 * change.value)} ({signed(low)} to {signed(high)}){_SPACE}ms"
    low, high = (100 * (edge or 0.0) for edge in (change.low, change.high))
    return f"{signed(100 * change.value)} ({signed(low)} to {signed(high)}){_SPACE}pp"


def sign_of(p: float | None) -> str:
    """A p-value for people."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def moment(at: datetime) -> str:
    """`Thu 19 Nov 09:00`, in UTC."""
    return f"{at.astimezone(UTC):%a %d %b %H:%M}"


def _moved(one: Number) -> str:
    rose = ((one.change is not None and one.change.value) or 0.0) > 0
    how = "rose" if rose else "fell"
    return f"{one.name.lower()} {how} from {before_of(one)} to {value_of(one)}"
