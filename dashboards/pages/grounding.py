"""Grounding: how far the passages supported the answers that were given them."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from msgspec import Struct

from dashboards.numbers import Headline, share_headline
from dashboards.pages import Page
from dashboards.site import filters_of, reading, show, site_of
from dashboards.wording import count_of
from guardrails.exchange_log.grounded import Grounded, Seen
from monitoring.charts.spec import Chart, Kind, Point, Series, Tone
from monitoring.intervals import wilson
from monitoring.types import Window

PAGE = Page("Grounding", "/grounding", group="Watch", place=50, scoped=True, bar=True, key="g")
router = APIRouter()

WEAKEST = 20
BINS = 10


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    window: Window
    looked_at: str
    figures: tuple[Headline, ...]
    charts: tuple[Markup, ...]
    weakest: tuple[Grounded, ...]


@router.get("/grounding")
async def grounding(request: Request) -> Response:
    """The page."""
    filters = filters_of(request)
    window = filters.window(site_of(request).now())
    async with reading(request) as log:
        seen = await log.grounded(window, filters)
    charts = (
        await site_of(request).drawing.drawn([by_support(seen, window), by_route(seen, window)])
        if seen.answers
        else ()
    )
    page = View(
        window=window,
        looked_at=count_of(seen.looked_at),
        figures=figures(seen),
        charts=charts,
        weakest=tuple(sorted(seen.answers, key=lambda one: one.least)[:WEAKEST]),
    )
    return await show(request, "grounding.html", page)


def figures(seen: Seen) -> tuple[Headline, ...]:
    """Answers and sentences that the passages support; none is no data."""
    answers = len(seen.answers)
    whole = sum(one.supported == one.sentences for one in seen.answers)
    sentences = sum(one.sentences for one in seen.answers)
    supported = sum(one.supported for one in seen.answers)
    withheld = sum(one.decision == "block" for one in seen.answers)
    return (
        Headline(
            "Answers with passages",
            count_of(answers) if answers else None,
            (f"of the latest {count_of(seen.looked_at)} exchanges",),
        ),
        share_headline("Wholly supported", whole, answers, of="answers"),
        share_headline("Sentences supported", supported, sentences, of="sentences"),
        share_headline("Withheld", withheld, answers, of="answers"),
    )


def by_support(seen: Seen, window: Window) -> Chart:
    """How weak the weakest sentence of each answer was."""
    counts = [0] * BINS
    for one in seen.answers:
        counts[min(BINS - 1, int(one.least * BINS))] += 1
    points = tuple(
        Point(f"{n / BINS:.1f}–{(n + 1) / BINS:.1f}", float(count))
        for n, count in enumerate(counts)
    )
    series = (Series("answers", points, Tone.ONE),)
    title = "Support of the weakest sentence, 0 to 1"
    return Chart(Kind.BAR, title, "answers", len(seen.answers), window, series)


def by_route(seen: Seen, window: Window) -> Chart:
    """The share of answers of each route that are wholly supported."""
    routes = sorted({one.route for one in seen.answers})
    series = (Series("supported", tuple(_point(seen.answers, r) for r in routes), Tone.ONE),)
    title = "Answers wholly supported, by route"
    return Chart(Kind.INTERVAL, title, "share", len(seen.answers), window, series)


def _point(answers: Sequence[Grounded], route: str) -> Point:
    own = [one for one in answers if one.route == route]
    hits = sum(one.supported == one.sentences for one in own)
    low, high = wilson(hits, len(own)) or (None, None)
    return Point(route, hits / len(own), low, high, len(own))
