"""Safety by category: how often each label fired, what came of it, and how that moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from msgspec import Struct

from dashboards.drawing import drawn
from dashboards.markers import markers
from dashboards.pages import Page
from dashboards.pages.overview import step_of
from dashboards.site import filters_of, reading, show, site_of
from dashboards.wording import count_of, percent, percent_interval
from guardrails.exchange_log.label_series import LabelCount
from guardrails.exchange_log.rows import Bucket
from monitoring.charts.spec import Chart, Kind, Marker, Point, Series, Tone
from monitoring.intervals import wilson
from monitoring.types import Window

PAGE = Page("Safety", "/safety", group="Watch", place=30, scoped=True, bar=True, key="s")
router = APIRouter()

DRAWN = 4
"""The labels that fired most are drawn; the table has all."""


class Row(Struct, frozen=True):
    """One label: in how many exchanges it fired, their share, and what was decided of them."""

    label: str
    detectors: str
    fired: str
    share: str
    interval: str
    of_all: float
    blocked: str
    redacted: str
    flagged: str
    before: str


class Step(Struct, frozen=True):
    """One span of the chart, for the way to its exchanges."""

    start: datetime
    end: datetime
    n: str
    fired: str


class View(Struct, frozen=True):
    """All that the template needs; names as there. `n` None: there was no exchange."""

    window: Window
    n: str | None
    rows: tuple[Row, ...]
    shadow: tuple[Row, ...]
    charts: tuple[Markup, ...]
    steps: tuple[Step, ...]


@router.get("/safety")
async def safety(request: Request) -> Response:
    """The page; shares before are of the span just before, as long as this one."""
    filters = filters_of(request)
    window = filters.window(site_of(request).now())
    length = window.end - window.start
    earlier = Window(window.start - length, window.start)
    step = step_of(window)
    async with reading(request) as log:
        seen = await log.overview(window, step, filters)
        before = await log.overview(earlier, length, filters)
        found = await log.labels(window, step, filters)
        found_before = await log.labels(earlier, length, filters)
    marked = await markers(request, window, filters)
    n, n_before = seen.totals.exchanges, before.totals.exchanges
    live = [one for one in found if not one.shadow]
    page = View(
        window=window,
        n=count_of(n) if n else None,
        rows=rows(live, n, [one for one in found_before if not one.shadow], n_before),
        shadow=rows([one for one in found if one.shadow], n, [], 0),
        charts=await drawn(charts(live, seen.buckets, window, step, marked)) if n else (),
        steps=steps(live, seen.buckets),
    )
    return await show(request, "safety.html", page)


def rows(
    found: Sequence[LabelCount], n: int, before: Sequence[LabelCount], n_before: int
) -> tuple[Row, ...]:
    """Every label, the most frequent first."""
    earlier = totals(before)
    made = []
    for label, fired in sorted(totals(found).items(), key=lambda one: -one[1]):
        own = [one for one in found if one.label == label]
        was = min(earlier.get(label, 0), n_before)
        hits = min(fired, n)
        made.append(
            Row(
                label=label,
                detectors=", ".join(sorted({one.detector for one in own})),
                fired=count_of(fired),
                share=percent(hits / n) if n else "no data",
                interval=percent_interval(hits, n) if n else "",
                of_all=hits / n if n else 0.0,
                blocked=_decided(own, "block"),
                redacted=_decided(own, "redact"),
                flagged=_decided(own, "flag"),
                before=percent(was / n_before) if n_before else "no data",
            )
        )
    return tuple(made)


def totals(found: Sequence[LabelCount]) -> Mapping[str, int]:
    """In how many exchanges each label fired; where two detectors have it, the more of them."""
    by_detector: dict[tuple[str, str], int] = {}
    for one in found:
        key = (one.label, one.detector)
        by_detector[key] = by_detector.get(key, 0) + one.exchanges
    found_by_label: dict[str, int] = {}
    for (label, _), fired in by_detector.items():
        found_by_label[label] = max(fired, found_by_label.get(label, 0))
    return found_by_label


def charts(
    found: Sequence[LabelCount],
    buckets: Sequence[Bucket],
    window: Window,
    step: timedelta,
    marked: tuple[Marker, ...] = (),
) -> list[Chart]:
    """Of each of the labels that fired most, its share of the exchanges with the interval."""
    most = sorted(totals(found).items(), key=lambda one: -one[1])[:DRAWN]
    n = sum(bucket.exchanges for bucket in buckets)
    return [
        Chart(
            Kind.LINE,
            label.replace("_", " ").capitalize(),
            "share",
            n,
            window,
            (Series("fired", tuple(_point(bucket, found, label) for bucket in buckets), Tone.ONE),),
            step=step,
            markers=marked,
        )
        for label, _ in most
    ]


def steps(found: Sequence[LabelCount], buckets: Sequence[Bucket]) -> tuple[Step, ...]:
    """The spans in which something fired, the latest first."""
    made = []
    for bucket in reversed(buckets):
        fired = totals([one for one in found if one.start == bucket.start])
        if fired:
            words = ", ".join(f"{n:,} {label.replace('_', ' ')}" for label, n in fired.items())
            made.append(Step(bucket.start, bucket.end, count_of(bucket.exchanges), words))
    return tuple(made)


def _point(bucket: Bucket, found: Sequence[LabelCount], label: str) -> Point:
    own = [one for one in found if one.start == bucket.start and one.label == label]
    n, hits = bucket.exchanges, totals(own).get(label, 0)
    bounds = wilson(min(hits, n), n)
    if bounds is None:
        return Point(bucket.start, None, n=0)
    return Point(bucket.start, min(hits, n) / n, *bounds, n)


def _decided(found: Sequence[LabelCount], decision: str) -> str:
    own = [one for one in found if one.decision == decision]
    return count_of(sum(totals(own).values()))
