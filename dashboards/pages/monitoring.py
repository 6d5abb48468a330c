"""What monitoring found: the latest run of each job, and the runs before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards.numbers import Number, number_of
from dashboards.pages import Page
from dashboards.site import show, site_of
from dashboards.wording import count_of
from monitoring import runs
from monitoring.jobs import names as job_names
from monitoring.types import Run, Window

PAGE = Page("Monitor runs", "/monitoring", group="Watch", place=80, key="m")
router = APIRouter()

SHOWN_FIGURES = 60
LATE = 3
"""A job whose latest window ended this many of its lengths ago has stopped running."""


class Latest(Struct, frozen=True):
    """The latest run of one job; `late` says since when it should have run again."""

    job: str
    status: str
    n: str
    window: Window
    message: str
    finished_at: datetime
    seconds: float
    late: str | None
    figures: tuple[Number, ...]


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    latest: tuple[Latest, ...]
    recent: tuple[Run, ...]
    never: tuple[str, ...]


@router.get("/monitoring")
async def monitoring(request: Request) -> Response:
    """The latest run of each job, and those before."""
    site = site_of(request)
    latest, recent = await runs.latest_of_each(site.reader), await runs.recent(site.reader)
    return await show(request, "monitoring.html", view(latest, recent, job_names(), site.now()))


def view(latest: Sequence[Run], recent: Sequence[Run], jobs: Sequence[str], now: datetime) -> View:
    """The page from the records; a job without any is named, for silence is not OK."""
    seen = {run.job for run in latest}
    return View(
        latest=tuple(_latest(run, now) for run in latest),
        recent=tuple(recent),
        never=tuple(name for name in jobs if name not in seen),
    )


def _latest(run: Run, now: datetime) -> Latest:
    length = run.window.end - run.window.start
    behind = now - run.window.end
    return Latest(
        job=run.job,
        status=run.status.value,
        n=count_of(run.outcome.n),
        window=run.window,
        message=run.outcome.message,
        finished_at=run.finished_at,
        seconds=(run.finished_at - run.started_at).total_seconds(),
        late=_span(behind) if behind > LATE * length else None,
        figures=tuple(number_of(figure) for figure in run.outcome.figures[:SHOWN_FIGURES]),
    )


def _span(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours} hours" if hours < 72 else f"{hours // 24} days"
