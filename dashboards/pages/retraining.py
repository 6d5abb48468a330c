"""Retraining: the runs that alerts or people asked for, how far each is, and who let it begin."""

from __future__ import annotations

from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards.forms import reason_of
from dashboards.pages import Page
from dashboards.pages.models import Stop
from dashboards.site import audited, needs, show, site_of
from dashboards.visitors import visitor_of
from monitoring.retraining import registry, runs
from monitoring.retraining.plan import STEPS
from monitoring.retraining.registry import ModelVersion
from monitoring.retraining.runs import RetrainingRun

PAGE = Page("Retraining", "/retraining", group="Act", place=40, key="t")
router = APIRouter()

KINDS = {
    "waiting": "no_data",
    "approved": "flag",
    "running": "flag",
    "succeeded": "ok",
    "failed": "failed",
    "refused": "block",
}
"""Which badge a state has."""


class Line(Struct, frozen=True):
    """One run in a list."""

    run: RetrainingRun
    kind: str
    stops: tuple[Stop, ...]


class StepView(Struct, frozen=True):
    """One step that has begun. `result` is what it gave, as short lines."""

    name: str
    state: str
    attempts: int
    seconds: float | None
    error: str | None
    result: tuple[tuple[str, str], ...]


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    waiting: tuple[Line, ...]
    others: tuple[Line, ...]


class OneView(Struct, frozen=True):
    """One run with its steps and what it registered."""

    line: Line
    steps: tuple[StepView, ...]
    version: ModelVersion | None
    parameters: tuple[tuple[str, str], ...]


@router.get("/retraining")
async def retraining(request: Request) -> Response:
    """The page."""
    rows = [line(run) for run in await runs.recent(site_of(request).reader)]
    page = View(
        waiting=tuple(one for one in rows if one.run.state == "waiting"),
        others=tuple(one for one in rows if one.run.state != "waiting"),
    )
    return await show(request, "retraining.html", page)


@router.get("/retraining/{run_id}")
async def one_run(request: Request, run_id: UUID) -> Response:
    """One run."""
    site = site_of(request)
    run = await runs.get(site.reader, run_id)
    if run is None:
        raise HTTPException(404)
    made = run.model_version_id
    version = None if made is None else await registry.get(site.reader, made)
    return await show(request, "retraining_run.html", view(run, version))


@router.post("/retraining/{run_id}/approve", dependencies=[needs("admin")])
async def approve(request: Request, run_id: UUID) -> Response:
    """Let a waiting run begin."""
    site, why = site_of(request), reason_of(await request.form())
    await audited(request, "retraining.approve", str(run_id), {"why": why})
    await runs.approve(site.writer, run_id, visitor_of(request).name, why, now=site.now())
    return RedirectResponse(f"/retraining/{run_id}", 303)


@router.post("/retraining/{run_id}/refuse", dependencies=[needs("admin")])
async def refuse(request: Request, run_id: UUID) -> Response:
    """End a run that has not begun."""
    site, why = site_of(request), reason_of(await request.form())
    await audited(request, "retraining.refuse", str(run_id), {"why": why})
    await runs.refuse(site.writer, run_id, visitor_of(request).name, why, now=site.now())
    return RedirectResponse(f"/retraining/{run_id}", 303)


def line(run: RetrainingRun) -> Line:
    """A run in one line, with its five steps."""
    standings = {"done": "behind", "running": "now", "failed": "gone"}
    stops = tuple(
        Stop(name, standings[run.steps[name].state] if name in run.steps else "ahead")
        for name in STEPS
    )
    return Line(run, KINDS[run.state], stops)


def view(run: RetrainingRun, version: ModelVersion | None) -> OneView:
    """One run in words."""
    names = [*(n for n in STEPS if n in run.steps), *(n for n in run.steps if n not in STEPS)]
    return OneView(
        line=line(run),
        steps=tuple(_step(name, run) for name in names),
        version=version,
        parameters=_flat(run.parameters),
    )


def _step(name: str, run: RetrainingRun) -> StepView:
    step = run.steps[name]
    ended = step.finished_at
    seconds = None if ended is None else (ended - step.started_at).total_seconds()
    return StepView(name, step.state, step.attempts, seconds, step.error, _flat(step.result))


def _flat(values: dict[str, object]) -> tuple[tuple[str, str], ...]:
    """Names and short values; what is nested is shown as JSON."""

    def said(value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, float):
            return f"{value:.4g}"
        return msgspec.json.encode(value).decode()

    return tuple((name.replace("_", " "), said(value)[:300]) for name, value in values.items())
