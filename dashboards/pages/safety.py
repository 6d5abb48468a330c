"""Safety by category: how often each label fired, what came of it, and how that moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from msgspec import Struct

from dashboards.markers import markers
from dashboards.numbers import share_point
from dashboards.pages import Page
from dashboards.pages.overview import step_of
from dashboards.site import filters_of, reading, show, site_of
from dashboards.visitors import visitor_of
from dashboards.wording import count_of, percent, percent_interval
from guardrails.exchange_log.label_series import Fired, LabelCount
from monitoring.charts.spec import Chart, Kind, Marker, Point, Series, Tone
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


class Span(Struct, frozen=True):
    """One step of the window, and how many exchanges it held."""

    start: datetime
    end: datetime
    exchanges: int


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
    site, filters = site_of(request), filters_of(request)
    now = site.now()
    window = filters.window(now)
    earlier = window.start - (window.end - window.start)
    step = step_of(window)

    async def read() -> Fired:
        async with reading(request) as log:
            return await log.fired(window, step, filters, earlier)

    question = ("safety", window, filters, visitor_of(request).tenants)
    found = await site.kept.of(question, now, read)
    spans = spans_of(found.exchanges, window, step)
    n, n_before = sum(one.exchanges for one in spans), found.exchanges.get(earlier, 0)
    shown = [one for one in found.labels if one.start != earlier]
    before = [one for one in found.labels if one.start == earlier and not one.shadow]
    live = [one for one in shown if not one.shadow]
    marked = await markers(request, window, filters)
    page = View(
        window=window,
        n=count_of(n) if n else None,
        rows=rows(live, n, before, n_before),
        shadow=rows([one for one in shown if one.shadow], n, [], 0),
        charts=await site.drawing.drawn(charts(live, spans, window, step, marked)) if n else (),
        steps=steps(live, spans),
    )
    return await show(request, "safety.html", page)


def spans_of(counts: Mapping[datetime, int], window: Window, step: timedelta) -> list[Span]:
    """The window in its steps, those without an exchange too; the last may be cut short."""
    found, start = [], window.start
    while start < window.end:
        found.append(Span(start, min(start + step, window.end), counts.get(start, 0)))
        start += step
    return found


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
    spans: Sequence[Span],
    window: Window,
    step: timedelta,
    marked: tuple[Marker, ...] = (),
) -> list[Chart]:
    """Of each of the labels that fired most, its share of the exchanges with the interval."""
    most = sorted(totals(found).items(), key=lambda one: -one[1])[:DRAWN]
    n = sum(span.exchanges for span in spans)
    fired = _by_span(found)
    return [
        Chart(
            Kind.LINE,
            label.replace("_", " ").capitalize(),
            "share",
            n,
            window,
            (Series("fired", tuple(_point(span, fired, label) for span in spans), Tone.ONE),),
            step=step,
            markers=marked,
        )
        for label, _ in most
    ]


def steps(found: Sequence[LabelCount], spans: Sequence[Span]) -> tuple[Step, ...]:
    """The spans in which something fired, the latest first."""
    fired = _by_span(found)
    made = []
    for span in reversed(spans):
        if own := fired.get(span.start):
            words = ", ".join(f"{n:,} {label.replace('_', ' ')}" for label, n in own.items())
            made.append(Step(span.start, span.end, count_of(span.exchanges), words))
    return tuple(made)


def _by_span(found: Sequence[LabelCount]) -> dict[datetime, Mapping[str, int]]:
    """In how many exchanges each label fired, by the start of the span."""
    parted: dict[datetime, list[LabelCount]] = {}
    for one in found:
        parted.setdefault(one.start, []).append(one)
    return {start: totals(own) for start, own in parted.items()}


def _point(span: Span, fired: Mapping[datetime, Mapping[str, int]], label: str) -> Point:
    hits = min(fired.get(span.start, {}).get(label, 0), span.exchanges)
    return share_point(span.start, hits, span.exchanges)


def _decided(found: Sequence[LabelCount], decision: str) -> str:
    own = [one for one in found if one.decision == decision]
    return count_of(sum(totals(own).values()))
