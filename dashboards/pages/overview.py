"""The first page: what waits for somebody, and what the chosen time held."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from msgspec import Struct

from dashboards.charts import Bucket, Chart, stacked
from dashboards.filters import NAMES, Filters
from dashboards.live import stream
from dashboards.markers import markers
from dashboards.numbers import Headline, share_headline, share_point
from dashboards.pages import Page
from dashboards.scoped import Overview
from dashboards.site import filters_of, reading, shell_of, show, site_of
from dashboards.visitors import visitor_of
from dashboards.waiting import Open, waiting
from dashboards.wording import count_of, seconds_of
from guardrails.exchange_log import rows as log
from monitoring.charts import spec
from monitoring.charts.spec import Kind, Marker, Point, Series, Tone
from monitoring.types import Window

PAGE = Page("Overview", "/", group="Watch", place=10, scoped=True, bar=True, key="o")
router = APIRouter()

STEPS = (
    (timedelta(hours=2), timedelta(minutes=5)),
    (timedelta(days=2), timedelta(hours=1)),
    (timedelta(days=8), timedelta(hours=6)),
    (timedelta(days=40), timedelta(days=1)),
)
UNTIMED = "Durations over time are kept for the whole log, and for seven days."
DECISIONS = ("allow", "flag", "redact", "block", "failed")


class View(Struct, frozen=True):
    """All that the template needs; names as there. `drawn` is `rates` once it is drawn."""

    open: tuple[Open, ...]
    window: Window
    named: str
    step: str
    figures: tuple[Headline, ...]
    chart: Chart | None
    rates: tuple[spec.Chart, ...]
    drawn: tuple[Markup, ...] = ()
    decisions: tuple[str, ...] = DECISIONS


@router.get("/")
async def overview(request: Request) -> Response:
    """The page."""
    return await show(request, "overview.html", await _drawn(request, await _read(request)))


@router.get("/live/overview")
async def live(request: Request) -> Response:
    """The same again whenever it has changed, as server-sent events; only then is it drawn."""
    kept = ("", "")

    async def rendered() -> tuple[str, str]:
        nonlocal kept
        page = await _read(request)
        version = hashlib.sha256(msgspec.json.encode(page)).hexdigest()[:24]
        if version != kept[0]:
            whole = await _drawn(request, page)
            kept = version, site_of(request).render("_day.html", whole, shell_of(request))
        return kept

    return stream(request, rendered)


async def _read(request: Request) -> View:
    site, filters = site_of(request), filters_of(request)
    now = site.now()
    window = filters.window(now)

    async def counted() -> Overview:
        async with reading(request) as of:
            return await of.overview(window, step_of(window), filters, now)

    visitor = visitor_of(request)
    question = ("overview", window, filters, visitor.tenants)
    summary = await site.kept.of(question, now, counted)
    marked = await markers(request, window, filters)
    page = view(summary.totals, summary.buckets, summary.reached, window, filters, marked)
    return msgspec.structs.replace(
        page,
        open=await waiting(site, visitor),
        rates=rates(summary.buckets, summary.reached, window, marked),
    )


async def _drawn(request: Request, page: View) -> View:
    drawn = await site_of(request).drawing.drawn(page.rates)
    return msgspec.structs.replace(page, drawn=drawn)


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
    marked: tuple[Marker, ...] = (),
) -> View:
    """The page from what was counted, without what is open and what is drawn."""
    step = step_of(window)
    fixed = filters.since is not None
    return View(
        open=(),
        window=window,
        named="Chosen time" if fixed else NAMES[filters.span or "24h"],
        step=_length(step),
        figures=figures(totals, reached),
        chart=stacked([_bucket(bucket) for bucket in buckets], step, marked),
        rates=(),
    )


def rates(
    buckets: Sequence[log.Bucket], reached: int, window: Window, marked: tuple[Marker, ...]
) -> tuple[spec.Chart, ...]:
    """How the decisions, failures and durations moved; nothing of a silent log."""
    n = sum(bucket.exchanges for bucket in buckets)
    if not n:
        return ()
    blocked = tuple(share_point(one.start, one.blocked, one.exchanges) for one in buckets)
    eased = tuple(
        share_point(one.start, one.flagged + one.redacted, one.exchanges) for one in buckets
    )
    failed = tuple(share_point(one.start, one.failed, one.exchanges) for one in buckets)
    took = tuple(Point(one.start, one.p95_seconds) for one in buckets)
    kept = any(point.value is not None for point in took)

    def over_time(title: str, unit: str, of: int, one: Series, note: str = "") -> spec.Chart:
        step = step_of(window)
        return spec.Chart(
            Kind.LINE, title, unit, of, window, (one,), step=step, markers=marked, note=note
        )

    return (
        over_time("Blocked", "share", n, Series("blocked", blocked, Tone.BLOCK)),
        over_time(
            "Redacted or flagged", "share", n, Series("redacted or flagged", eased, Tone.REDACT)
        ),
        over_time("Failed", "share", n, Series("failed", failed, Tone.FAILED)),
        over_time(
            "Duration, p95", "seconds", reached, Series("p95", took), "" if kept else UNTIMED
        ),
    )


def figures(totals: log.Totals, reached: int) -> tuple[Headline, ...]:
    """The summary. Of a silent log each figure is no data, for silence proves nothing."""
    n = totals.exchanges
    names = ("Exchanges", "Blocked", "Failed", "Duration, p50 / p95")
    if n == 0:
        return tuple(Headline(name, None, ("no exchange in this time",)) for name in names)
    passed = (
        f"{count_of(totals.allowed)} allowed, {count_of(totals.flagged)} flagged",
        f"{count_of(totals.redacted)} redacted, {count_of(totals.abandoned)} left by the caller",
    )
    took = None
    if totals.p50_seconds is not None and totals.p95_seconds is not None:
        took = f"{seconds_of(totals.p50_seconds)} / {seconds_of(totals.p95_seconds)}"
    return (
        Headline(names[0], count_of(n), passed),
        share_headline(names[1], totals.blocked, n, tone="acted" if totals.blocked else ""),
        share_headline(names[2], totals.failed, n),
        Headline(names[3], took, (f"n = {count_of(reached)} that reached a model",), unit="s"),
    )


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
