"""How a chart writes its numbers, moments and windows for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitoring.types import Window

NO_DATA = "no data"

_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"


def number(value: float | None, unit: str) -> str:
    """`3.2 %`, `+1.4 points`, `0.84 s`, `12,345`; the words *no data* where there is none."""
    if value is None:
        return NO_DATA
    if unit == "share":
        return f"{_percent(100 * value)}{_SPACE}%"
    if unit == "points":
        return f"{signed(100 * value)}{_SPACE}pp"
    if unit == "seconds":
        return _seconds(value)
    if unit == "kappa" or (abs(value) < 10 and value != int(value)):
        return f"{value:.2f}".replace("-", _MINUS)
    return f"{value:,.0f}".replace("-", _MINUS)


def interval(low: float | None, high: float | None, unit: str) -> str:
    """`2.0 to 7.7 %`; nothing where there is none."""
    if low is None or high is None:
        return ""
    if unit == "share":
        return f"{_percent(100 * low)} to {_percent(100 * high)}{_SPACE}%"
    if unit == "points":
        return f"{signed(100 * low)} to {signed(100 * high)}{_SPACE}pp"
    return f"{number(low, unit)} to {number(high, unit)}"


def signed(value: float) -> str:
    """`+1.4`, `−0.3`, `0.0`."""
    digits = f"{abs(value):.2f}" if abs(value) < 1 else f"{abs(value):.1f}"
    if float(digits) == 0:
        return "0.0"
    return ("+" if value > 0 else _MINUS) + digits


def moment(at: datetime | str, step: timedelta | None) -> str:
    """`Mon 16 Nov`, or `16 Nov 06:00` where steps are shorter than a day; a name as it is."""
    if isinstance(at, str):
        return at
    at = at.astimezone(UTC)
    return f"{at:%a %d %b}" if step is None or step >= timedelta(days=1) else f"{at:%d %b %H:%M}"


def span(window: Window) -> str:
    """`16 to 22 Nov 2026` of whole days, else with its hours; in UTC."""
    start, end = window.start.astimezone(UTC), window.end.astimezone(UTC)
    if start.time() != end.time() or start.hour or start.minute:
        return f"{start:%d %b %H:%M} to {end:%d %b %Y %H:%M} UTC"
    last = end - timedelta(days=1)
    if last <= start:
        return f"{start:%d %b %Y}"
    first = f"{start:%d}" if (start.year, start.month) == (last.year, last.month) else None
    if first is None:
        first = f"{start:%d %b}" if start.year == last.year else f"{start:%d %b %Y}"
    return f"{first} to {last:%d %b %Y}"


def _percent(value: float) -> str:
    if value in (0, 100):
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}"


def _seconds(value: float) -> str:
    if value >= 1:
        return f"{value:,.2f}{_SPACE}s"
    return f"{1000 * value:.0f}{_SPACE}ms" if value >= 0.1 else f"{1000 * value:.1f}{_SPACE}ms"
