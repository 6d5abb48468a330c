"""Models: which version serves, which waits, and how each rollout fares against its champion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards.forms import reason_of
from dashboards.pages import Page
from dashboards.site import audited, needs, show, site_of
from dashboards.visitors import visitor_of
from dashboards.wording import percent_interval, share_of
from guardrails.errors import BadRequest, ConfigError
from monitoring.retraining import registry
from monitoring.retraining.registry import ModelVersion
from monitoring.rollout import records
from monitoring.rollout.evidence import Evidence
from monitoring.rollout.records import Event, Rollout, Serving

PAGE = Page("Models & rollouts", "/models", group="Act", place=30, key="c")
router = APIRouter()

KINDS = {"running": "flag", "paused": "redact", "promoted": "ok", "rolled_back": "block"}
"""Which badge a state has."""

ACTS: dict[str, Callable[..., Awaitable[Rollout]]] = {
    "pause": records.pause,
    "resume": records.resume,
    "promote": records.promote,
    "rollback": records.roll_back,
}


class Stop(Struct, frozen=True):
    """One step on a way: what it is called, and whether it is behind, now, ahead or gone."""

    share: str
    standing: str


class Line(Struct, frozen=True):
    """One rollout in a list."""

    rollout: Rollout
    kind: str
    state: str
    stops: tuple[Stop, ...]


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    at: datetime
    asked: bool
    serving: Sequence[Serving]
    open: tuple[Line, ...]
    ended: tuple[Line, ...]
    versions: Sequence[ModelVersion]


class Compared(Struct, frozen=True):
    """One metric of both versions, as the test has it. Shares are of conversations."""

    metric: str
    candidate: str
    candidate_interval: str
    champion: str
    n: str
    strength: str


class OneView(Struct, frozen=True):
    """One rollout. `limit` is the strength at which it is rolled back."""

    line: Line
    compared: tuple[Compared, ...]
    seen: int
    strength: str
    limit: str
    far: float
    events: Sequence[Event]
    acts: tuple[str, ...]


@router.get("/models")
async def models(request: Request, at: str | None = None) -> Response:
    """The page; `at` asks who served at another time."""
    site = site_of(request)
    moment = _moment(at) if at else site.now()
    rollouts = [line(one) for one in await records.recent(site.reader)]
    page = View(
        at=moment,
        asked=bool(at),
        serving=await records.at(site.reader, moment),
        open=tuple(one for one in rollouts if one.rollout.open),
        ended=tuple(one for one in rollouts if not one.rollout.open),
        versions=await registry.versions(site.reader),
    )
    return await show(request, "models.html", page)


@router.get("/models/rollouts/{rollout_id}")
async def rollout(request: Request, rollout_id: UUID) -> Response:
    """One rollout."""
    site = site_of(request)
    found = await records.find(site.reader, rollout_id)
    if found is None:
        raise HTTPException(404)
    return await show(
        request, "rollout.html", view(found, await records.events(site.reader, rollout_id))
    )


@router.post("/models/rollouts/{rollout_id}/{act}", dependencies=[needs("admin")])
async def change(request: Request, rollout_id: UUID, act: str) -> Response:
    """Pause, resume, promote or roll back, with a reason."""
    if act not in ACTS:
        raise HTTPException(404)
    site, why = site_of(request), reason_of(await request.form())
    await audited(request, f"rollout.{act}", str(rollout_id), {"why": why})
    who = visitor_of(request).name
    try:
        await ACTS[act](site.writer, rollout_id, who=who, why=why, now=site.now())
    except ConfigError as error:
        raise BadRequest(error.message) from error
    return RedirectResponse(f"/models/rollouts/{rollout_id}", 303)


def line(rollout: Rollout) -> Line:
    """A rollout in one line, with its way to all conversations."""
    shares = [step.share for step in rollout.plan.steps] + [1.0]
    here = len(shares) - 1 if rollout.state == "promoted" else rollout.step
    gone = rollout.state == "rolled_back"
    stops = tuple(
        Stop(
            f"{100 * share:g} %",
            "gone" if gone and n <= here else "behind" if n < here else _now(n, here),
        )
        for n, share in enumerate(shares)
    )
    return Line(rollout, KINDS[rollout.state], rollout.state.replace("_", " "), stops)


def view(rollout: Rollout, events: Sequence[Event]) -> OneView:
    """One rollout with what its test has seen."""
    evidence = msgspec.convert(rollout.evidence, Evidence)
    limit = 1 / rollout.plan.false_rollback
    won = evidence.by_metric()
    acts = {
        "running": ("pause", "promote", "rollback"),
        "paused": ("resume", "promote", "rollback"),
        "promoted": ("rollback",),
        "rolled_back": (),
    }
    return OneView(
        line=line(rollout),
        compared=tuple(
            Compared(
                metric=name,
                candidate=share_of(hits, n),
                candidate_interval=percent_interval(hits, n) if n else "",
                champion=share_of(other, of),
                n=f"{n:,} / {of:,}",
                strength=f"{won.get(name, 0.0):.3g}",
            )
            for name, (hits, n, other, of) in evidence.totals.items()
        ),
        seen=evidence.seen,
        strength=f"{evidence.strength:.3g}",
        limit=f"{limit:g}",
        far=min(1.0, evidence.strength / limit),
        events=tuple(reversed(events)),
        acts=acts[rollout.state],
    )


def _now(number: int, here: int) -> str:
    return "now" if number == here else "ahead"


def _moment(written: str) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequest("This time cannot be read.", param="at") from error
