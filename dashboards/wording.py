"""How numbers, times and shares are written for people."""

from __future__ import annotations

from datetime import UTC, datetime

from monitoring.intervals import wilson

_SPACE = "\N{NO-BREAK SPACE}"


def count_of(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def seconds_of(seconds: float | None) -> str:
    """`0.25`, to three digits that matter; a dash where it was not measured."""
    if seconds is None:
        return "–"
    if seconds < 0.01:
        return f"{seconds:.4f}"
    if seconds < 1:
        return f"{seconds:.3f}"
    return f"{seconds:,.2f}" if seconds < 100 else f"{seconds:,.0f}"


def milliseconds_of(seconds: float) -> str:
    """`3.2 ms`, or `1.25 s` from one second on."""
    if seconds >= 1:
        return f"{seconds:,.2f}{_SPACE}s"
    return f"{1000 * seconds:.1f}{_SPACE}ms" if seconds < 0.1 else f"{1000 * seconds:.0f}{_SPACE}ms"


def percent(share: float) -> str:
    """`3.2 %`, with one more digit below one."""
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f}{_SPACE}%"
    return f"{value:.2f}{_SPACE}%" if value < 1 else f"{value:.1f}{_SPACE}%"


def share_of(hits: int, n: int) -> str:
    """The share of `hits` among `n` as a percentage; of nothing there is no data."""
    return percent(hits / n) if n else "no data"


def percent_interval(hits: int, n: int) -> str:
    """`2.0–7.7 %`: the 95 % interval of a share; n must not be 0."""
    interval = wilson(hits, n)
    if interval is None:
        raise ValueError("a share of nothing has no interval")
    low, high = (f"{100 * bound:.1f}" for bound in interval)
    return f"{low}–{high}{_SPACE}%"


def moment(at: datetime) -> str:
    """`23 Nov 07:40`, in UTC."""
    return f"{at.astimezone(UTC):%d %b %H:%M}"


def moment_to_the_second(at: datetime) -> str:
    """`23 Nov 07:40:12`, in UTC."""
    return f"{at.astimezone(UTC):%d %b %H:%M:%S}"


def day(at: datetime) -> str:
    """`23 Nov 2026`, in UTC."""
    return f"{at.astimezone(UTC):%d %b %Y}"


def ago(at: datetime | None, now: datetime) -> str:
    """`12 s ago`, `5 min ago`, `3 hours ago`, `12 days ago`; `never` for what never was."""
    if at is None:
        return "never"
    seconds = max(0, int((now - at).total_seconds()))
    if seconds < 120:
        return f"{seconds}{_SPACE}s ago"
    if seconds < 7_200:
        return f"{seconds // 60}{_SPACE}min ago"
    hours = seconds // 3600
    return f"{hours}{_SPACE}hours ago" if hours < 72 else f"{hours // 24}{_SPACE}days ago"


def bytes_of(number: int | float | None) -> str:
    """`4.2 MB`, in powers of 1,000; a dash where it is not known."""
    if number is None:
        return "–"
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f}{_SPACE}{unit}" if unit == "bytes" else f"{value:.1f}{_SPACE}{unit}"
        value /= 1000
    return f"{value:,.1f}{_SPACE}TB"
