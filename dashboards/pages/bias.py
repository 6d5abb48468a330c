"""Bias: how the rates of groups and languages lie apart, and what the audits by swapping found."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from msgspec import Struct

from dashboards.numbers import Number, number_of
from dashboards.pages import Page
from dashboards.site import show, site_of
from monitoring import runs
from monitoring.bias import audits
from monitoring.charts.spec import Chart, Kind, Point, Series, Tone
from monitoring.types import Figure, Run, Window

PAGE = Page("Bias", "/bias", group="Watch", place=40, key="b")
router = APIRouter()

JOB = "bias_rates"
RATES = (("block", Tone.BLOCK), ("flag", Tone.FLAG), ("toxicity", Tone.ONE))
SHOWN = 14


class Audit(Struct, frozen=True):
    """One audit in words."""

    axis: str
    model: str
    window: Window
    pairs: str
    status: str
    figures: tuple[Number, ...]


class View(Struct, frozen=True):
    """All that the template needs; names as there. `run` None: the job never ran."""

    run: Run | None
    charts: tuple[Markup, ...]
    gaps: tuple[Number, ...]
    audits: tuple[Audit, ...]


@router.get("/bias")
async def bias(request: Request) -> Response:
    """The page, from the latest weekly comparison and the latest audits."""
    site = site_of(request)
    run = await runs.latest(site.reader, JOB)
    charts = [] if run is None else rates(run)
    made = await audits.latest(site.reader)
    page = View(
        run=run,
        charts=await site_of(request).drawing.drawn(charts),
        gaps=() if run is None else gaps(run.outcome.figures),
        audits=tuple(
            Audit(
                one.axis,
                one.model,
                one.window,
                f"{one.pairs:,}" + (f", {one.failed:,} not answered" if one.failed else ""),
                one.status,
                tuple(map(number_of, one.figures)),
            )
            for one in made
        ),
    )
    return await show(request, "bias.html", page)


def rates(run: Run) -> list[Chart]:
    """A chart of each rate, by group and language, the most frequent first."""
    charts = []
    for rate, tone in RATES:
        own = [one for one in run.outcome.figures if one.name.startswith(f"{rate} rate of ")]
        most = sorted(own, key=lambda one: -one.n)[:SHOWN]
        points = tuple(
            Point(one.name.removeprefix(f"{rate} rate of "), one.value, one.low, one.high, one.n)
            for one in most
        )
        if points:
            title = f"{rate.capitalize()} rate, by group and language"
            series = (Series(rate, points, tone),)
            charts.append(Chart(Kind.INTERVAL, title, "share", run.outcome.n, run.window, series))
    return charts


def gaps(figures: Sequence[Figure]) -> tuple[Number, ...]:
    """The gaps to the rest, those beyond chance first."""
    own = [one for one in figures if " gap of " in one.name]
    ordered = sorted(own, key=lambda one: (one.status.value != "DRIFT", -abs(one.value or 0)))
    return tuple(map(number_of, ordered))
