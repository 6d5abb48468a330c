"""The first page: what the chosen time held, in figures and as a chart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards.charts import Bucket, Chart, stacked
from dashboards.filters import NAMES, Filters
from dashboards.live import stream
from dashboards.pages import Page
from dashboards.site import filters_of, reading, shell_of, show, site_of
from dashboards.summary import Summaries
from dashboards.wording import count_of, percent, percent_interval, seconds_of
from guardrails.exchange_log import rows as log
from monitoring.types import Window

PAGE = Page("Overview", "/", group="Watch", place=10, scoped=True, bar=True, key="o")
router = APIRouter()

STEPS = (
    (timedelta(hours=2), timedelta(minutes=5)),
    (timedelta(days=2), timedelta(hours=1)),
    (timedelta(days=8), timedelta(hours=6)),
    (timedelta(days=40), timedelta(days=1)),
)
DECISIONS = ("allow", "flag", "redact", "block", "failed")
_summaries = Summaries()


class Figure(Struct, frozen=True):
    """One number of the summary; `value` None is shown as no data."""

    name: str
    value: str | None
    lines: tuple[str, ...]
    unit: str = ""
    tone: str = ""


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    window: Window
    named: str
    step: str
    figures: tuple[Figure, ...]
    chart: Chart | None
    decisions: tuple[str, ...] = DECISIONS


@router.get("/")
async def overview(request: Request) -> Response:
    """The page."""
    return await show(request, "overview.html", await _read(request))


@router.get("/live/overview")
async def live(request: Request) -> Response:
    """The same again whenever it has changed, as server-sent events."""

    async def rendered() -> tuple[str, str]:
        page = await _read(request)
        html = site_of(request).render("_day.html", page, shell_of(request))
        return hashlib.sha256(msgspec.json.encode(page)).hexdigest()[:24], html

    return stream(request, rendered)


async def _read(request: Request) -> View:
    site, filters = site_of(request), filters_of(request)
    now = site.now()
    window = filters.window(now)
    async with reading(request) as of:
        summary = await _summaries.of(of, window, step_of(window), filters, now)
    return view(summary.totals, summary.buckets, summary.reached, window, filters)


def step_of(window: Window) -> timedelta:
    """How long one bar of the chart is."""
    length = window.end - window.start
    return next((step for longest, step in STEPS if length <= longest), timedelta(days=3))


def view(
    totals: log.Totals,
    buckets: Sequence[log.Bucket],
    reached: int,
    window: Window,
    filters: Filters,
) -> View:
    """The page from what was counted."""
    step = step_of(window)
    fixed = filters.since is not None
    return View(
        window=window,
        named="Chosen time" if fixed else NAMES[filters.span or "24h"],
        step=_length(step),
        figures=figures(totals, reached),
        chart=stacked([_bucket(bucket) for bucket in buckets], step),
    )


def figures(totals: log.Totals, reached: int) -> tuple[Figure, ...]:
    """The summary. Of a silent log each figure is no data, for silence proves nothing."""
    n = totals.exchanges
    names = ("Exchanges", "Blocked", "Failed", "Duration, p50 / p95")
    if n == 0:
        return tuple(Figure(name, None, ("no exchange in this time",)) for name in names)
    passed = (
        f"{count_of(totals.allowed)} allowed, {count_of(totals.flagged)} flagged",
        f"{count_of(totals.redacted)} redacted, {count_of(totals.abandoned)} left by the caller",
    )
    took = None
    if totals.p50_seconds is not None and totals.p95_seconds is not None:
        took = f"{seconds_of(totals.p50_seconds)} / {seconds_of(totals.p95_seconds)}"
    return (
        Figure(names[0], count_of(n), passed),
        _share(names[1], totals.blocked, n, tone="acted" if totals.blocked else ""),
        _share(names[2], totals.failed, n),
        Figure(names[3], took, (f"n = {count_of(reached)} that reached a model",), unit="s"),
    )


def _share(name: str, hits: int, n: int, *, tone: str = "") -> Figure:
    lines = (
        f"{count_of(hits)} of n = {count_of(n)}",
        f"interval {percent_interval(hits, n)}",
    )
    return Figure(name, percent(hits / n), lines, tone=tone)


def _bucket(bucket: log.Bucket) -> Bucket:
    counts = {
        "allow": bucket.allowed,
        "flag": bucket.flagged,
        "redact": bucket.redacted,
        "block": bucket.blocked,
    }
    return Bucket(bucket.start, counts, bucket.failed)


def _length(step: timedelta) -> str:
    minutes = step // timedelta(minutes=1)
    if minutes < 60:
        return f"{minutes} minutes"
    hours = minutes // 60
    if hours == 1:
        return "hour"
    if hours < 24:
        return f"{hours} hours"
    return "day" if hours == 24 else f"{hours // 24} days"
