"""How does a figure of a run read? With unit, interval, threshold and n; or as no data."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from dashboards.wording import count_of, percent, percent_interval
from monitoring.charts.spec import Point
from monitoring.intervals import wilson
from monitoring.types import Figure


class Number(Struct, frozen=True):
    """One figure in words; `value` None is shown as no data."""

    name: str
    value: str | None
    interval: str
    threshold: str
    n: str
    status: str
    note: str


def number_of(figure: Figure) -> Number:
    """A figure in words: shares in percent, all else with its unit."""
    share = figure.unit == "share"
    value = None
    if figure.value is not None:
        value = percent(figure.value) if share else f"{figure.value:.3g} {figure.unit}"
    interval = ""
    if figure.low is not None and figure.high is not None:
        low, high = figure.low, figure.high
        interval = f"{100 * low:.1f}–{100 * high:.1f} %" if share else f"{low:.3g}–{high:.3g}"
    return Number(
        figure.name,
        value,
        interval,
        "" if figure.threshold is None else f"{figure.threshold:g}",
        count_of(figure.n),
        figure.status.value,
        figure.note or "",
    )


class Headline(Struct, frozen=True):
    """One number on top of a page; `value` None is shown as no data."""

    name: str
    value: str | None
    lines: tuple[str, ...]
    unit: str = ""
    tone: str = ""


def share_headline(name: str, hits: int, n: int, *, of: str = "", tone: str = "") -> Headline:
    """A share of `n` with its interval; `of` says of what, and of nothing there is no data."""
    if not n:
        return Headline(name, None, (f"no {of}",))
    counted = f"{count_of(hits)} of n = {count_of(n)} {of}".rstrip()
    return Headline(
        name, percent(hits / n), (counted, f"interval {percent_interval(hits, n)}"), tone=tone
    )


def share_point(at: datetime, hits: int, n: int) -> Point:
    """A share of `n` with its interval, on a chart; of nothing there is no data."""
    bounds = wilson(hits, n)
    if bounds is None:
        return Point(at, None, n=0)
    return Point(at, hits / n, *bounds, n)
