"""Drift: what moved and since when, the new crowds of prompts, and how the days before looked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards.numbers import Number, number_of
from dashboards.pages import Page
from dashboards.security import FRAMED_SCRIPTS
from dashboards.site import show, site_of
from guardrails.errors import BadRequest
from monitoring import drift_reports, runs
from monitoring.drift_reports import Listed
from monitoring.types import Figure, Run, Status, Window

PAGE = Page("Drift", "/drift", group="Watch", place=60, key="d")
router = APIRouter()

JOBS = ("rate_drift", "score_drift", "prompt_drift")
REPORTED = "score_drift"
DAYS_SHOWN = 30
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Cluster(Struct, frozen=True):
    """A crowd of prompts: its size of `n`, since when, and its most typical exchanges."""

    size: str
    n: str
    since: str
    ids: tuple[str, ...]
    status: str


class Square(Struct, frozen=True):
    """One earlier run of a job, as a square in its row."""

    status: str
    words: str


class Job(Struct, frozen=True):
    """One job: its latest run, what it holds to be moved, and the runs before."""

    name: str
    run: Run | None
    alarms: tuple[Number, ...]
    before: tuple[Square, ...]


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    jobs: tuple[Job, ...]
    clusters: tuple[Cluster, ...]
    clusters_of: Window | None
    reports: Sequence[Listed]


@router.get("/drift")
async def drift(request: Request) -> Response:
    """The page."""
    engine = site_of(request).reader
    jobs = [view(name, await runs.of_job(engine, name, limit=DAYS_SHOWN)) for name in JOBS]
    prompts = next((job.run for job in jobs if job.name == "prompt_drift"), None)
    page = View(
        jobs=tuple(jobs),
        clusters=() if prompts is None else clusters(prompts.outcome.figures),
        clusters_of=None if prompts is None else prompts.window,
        reports=await drift_reports.latest(engine, REPORTED),
    )
    return await show(request, "drift.html", page)


@router.get("/drift/reports/{job}")
async def report(request: Request, job: str, start: str, end: str) -> Response:
    """Evidently's whole report of one window, in a frame that may reach nothing."""
    try:
        window = Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
    except ValueError as error:
        raise BadRequest("This time cannot be read.", param="start") from error
    html = await drift_reports.find(site_of(request).reader, job, window)
    if html is None:
        raise HTTPException(404)
    headers = {"content-security-policy": FRAMED_SCRIPTS}
    return Response(html, media_type="text/html; charset=utf-8", headers=headers)


def view(name: str, found: Sequence[Run]) -> Job:
    """A job by its runs, the newest first."""
    latest = found[0] if found else None
    figures = () if latest is None else latest.outcome.figures
    return Job(
        name=name,
        run=latest,
        alarms=tuple(
            number_of(one)
            for one in figures
            if one.status is Status.DRIFT and not one.name.startswith("cluster ")
        ),
        before=tuple(
            Square(
                run.status.value,
                f"{run.window.start:%d %b %H:%M}: {run.status.value.replace('_', ' ').lower()}",
            )
            for run in reversed(found)
        ),
    )


def clusters(figures: Sequence[Figure]) -> tuple[Cluster, ...]:
    """The crowds of the latest window; ids of their exchanges stand in the figure's note."""
    return tuple(
        Cluster(
            size=f"{one.value:,.0f}",
            n=f"{one.n:,}",
            since=(one.note or "").partition(";")[0],
            ids=tuple(_ID.findall(one.note or "")),
            status=one.status.value,
        )
        for one in figures
        if one.name.startswith("cluster ") and one.value is not None
    )
