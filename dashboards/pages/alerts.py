"""Alerts: what is wrong now, what was, who has it in hand, and what is kept quiet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards.forms import reason_of
from dashboards.numbers import Number, number_of
from dashboards.pages import Page
from dashboards.site import audited, needs, show, site_of
from dashboards.visitors import visitor_of
from dashboards.wording import ago
from guardrails.errors import BadRequest
from monitoring.alerts import records
from monitoring.alerts.matching import parse_matcher, silenced_by
from monitoring.alerts.types import Alert, Event, Notification, Silence, State

PAGE = Page("Alerts", "/alerts", group="Watch", place=70, key="a")
router = APIRouter()

ENDED_SHOWN = 50
IDS_SHOWN = 20
LENGTHS = (("2", "2 hours"), ("8", "8 hours"), ("24", "a day"), ("168", "a week"))
KINDS = {"firing": "block", "acknowledged": "flag", "resolved": "ok"}
"""Which badge a state has."""


class Line(Struct, frozen=True):
    """One alert in a list."""

    id: str
    state: str
    kind: str
    severity: str
    summary: str
    labels: tuple[tuple[str, str], ...]
    started_at: datetime
    ended_at: datetime | None
    standing: str
    """What else is to be known: who has it, what explains it, what silences it."""


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    open: tuple[Line, ...]
    ended: tuple[Line, ...]
    silences: Sequence[Silence]


class OneView(Struct, frozen=True):
    """One alert with its evidence and its history."""

    line: Line
    alert: Alert
    figures: tuple[Number, ...]
    ids: tuple[str, ...]
    more_ids: int
    history: Sequence[Event]
    told: Sequence[Notification]
    matcher: str
    lengths: tuple[tuple[str, str], ...] = LENGTHS


@router.get("/alerts")
async def alerts(request: Request) -> Response:
    """The page."""
    site = site_of(request)
    now = site.now()
    silences = await records.silences(site.reader, now)
    ended = await records.list_alerts(site.reader, states=(State.RESOLVED,), limit=ENDED_SHOWN)
    page = View(
        open=tuple(line(one, silences, now) for one in await records.open_alerts(site.reader)),
        ended=tuple(line(one, (), now) for one in ended),
        silences=silences,
    )
    return await show(request, "alerts.html", page)


@router.get("/alerts/{alert_id}")
async def alert(request: Request, alert_id: UUID) -> Response:
    """One alert."""
    site = site_of(request)
    found = await records.find(site.reader, alert_id)
    if found is None:
        raise HTTPException(404)
    now = site.now()
    ids = found.evidence.exchange_ids
    page = OneView(
        line=line(found, await records.silences(site.reader, now), now),
        alert=found,
        figures=tuple(number_of(figure) for figure in found.evidence.figures),
        ids=ids[:IDS_SHOWN],
        more_ids=max(0, len(ids) - IDS_SHOWN),
        history=await records.history(site.reader, alert_id),
        told=await records.notifications(site.reader, alert_id),
        matcher=" ".join(f"{name}={value}" for name, value in sorted(found.labels.items())),
    )
    return await show(request, "alert.html", page)


@router.post("/alerts/{alert_id}/acknowledge", dependencies=[needs("reviewer")])
async def acknowledge(request: Request, alert_id: UUID) -> Response:
    """Say that one has it in hand."""
    site, who = site_of(request), visitor_of(request).name
    await audited(request, "alert.acknowledge", str(alert_id))
    if not await records.acknowledge(site.writer, alert_id, who, site.now()):
        raise BadRequest("This alert is not firing any more: load it again.")
    return RedirectResponse(f"/alerts/{alert_id}", 303)


@router.post("/alerts/{alert_id}/resolve", dependencies=[needs("reviewer")])
async def resolve(request: Request, alert_id: UUID) -> Response:
    """Close it by hand, with a reason."""
    site, who = site_of(request), visitor_of(request).name
    why = reason_of(await request.form())
    await audited(request, "alert.resolve", str(alert_id), {"why": why})
    if not await records.resolve(site.writer, alert_id, who, site.now(), why):
        raise BadRequest("This alert is not open any more: load it again.")
    return RedirectResponse(f"/alerts/{alert_id}", 303)


@router.post("/alerts/silences", dependencies=[needs("reviewer")])
async def silence(request: Request) -> Response:
    """Tell nobody of what fits, for a time."""
    site, form = site_of(request), await request.form()
    why, hours = reason_of(form), str(form.get("hours", ""))
    if hours not in dict(LENGTHS):
        known = ", ".join(dict(LENGTHS))
        raise BadRequest(f"A silence lasts one of: {known} hours.", param="hours")
    written = str(form.get("matchers", "")).split()
    now = site.now()
    try:
        matchers = [parse_matcher(one) for one in written]
        await audited(request, "alert.silence", " ".join(written), {"why": why, "hours": hours})
        ends_at = now + timedelta(hours=int(hours))
        who = visitor_of(request).name
        await records.silence(site.writer, matchers, now, ends_at, who, why)
    except ValueError as error:
        raise BadRequest(str(error), param="matchers") from error
    return RedirectResponse("/alerts", 303)


@router.post("/alerts/silences/{silence_id}/end", dependencies=[needs("reviewer")])
async def end_silence(request: Request, silence_id: UUID) -> Response:
    """Let what it hides be told again."""
    site = site_of(request)
    await audited(request, "alert.silence.end", str(silence_id))
    await records.end_silence(site.writer, silence_id, site.now())
    return RedirectResponse("/alerts", 303)


def line(alert: Alert, silences: Sequence[Silence], now: datetime) -> Line:
    """An alert in one line."""
    quiet = silenced_by(alert, silences, now) if alert.open else None
    standing = ""
    if quiet is not None:
        standing = f"silenced by {quiet.made_by}: {quiet.reason}"
    elif alert.inhibited_by is not None and alert.open:
        standing = "explained by another alert, so nobody is told of it"
    elif alert.state is State.ACKNOWLEDGED:
        standing = f"in {alert.acknowledged_by}’s hands, {ago(alert.acknowledged_at, now)}"
    elif alert.escalated_at is not None and alert.open:
        standing = "escalated: nobody had acknowledged it"
    return Line(
        id=str(alert.id),
        state=alert.state.value,
        kind=KINDS[alert.state.value],
        severity=alert.severity.value,
        summary=alert.summary,
        labels=tuple(sorted(alert.labels.items())),
        started_at=alert.started_at,
        ended_at=alert.resolved_at,
        standing=standing,
    )
