"""The review queue: one text at a time, one key a label."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards.bodies import texts
from dashboards.measured import marked_spans, rules_for
from dashboards.pages import Page
from dashboards.policies import policy_of
from dashboards.site import audited, reading, show, site_of
from dashboards.turns import Turns, said_of, turns_of
from dashboards.visitors import visitor_of
from guardrails.exchange_log.rows import ExchangeDetail
from guardrails.policy.model import Policy
from guardrails.types import Check, Reason, Segment
from monitoring import reviews
from monitoring.agreement import Agreement, agreement
from monitoring.reviews import LABELS, Item, Progress
from monitoring.types import Window

PAGE = Page("Review", "/review", group="Act", place=10, role="reviewer", scoped=True, key="r")
router = APIRouter()

ANSWERS = {"harmful": True, "safe": False, "unknown": None}
WHY = {
    "random": "sampled by chance",
    "uncertain": "the detectors are not sure",
    "appeal": "an appeal",
    "alert": "asked by an alert",
}
NOTE_CHARACTERS = 1_000
CHARACTERS = 9_000
AGREEMENT_REACHES = timedelta(days=30)


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    item: Item | None
    why: str
    appeal: str | None
    context: Turns | None
    judged: Turns | None
    marked: bool
    progress: Progress
    agreement: Agreement
    labels: tuple[str, ...] = LABELS
    wanted: int = reviews.WANTED


@router.get("/review")
async def review(request: Request) -> Response:
    """The next item for this reviewer. What matched is marked only where it is asked for."""
    site, visitor = site_of(request), visitor_of(request)
    now, marked = site.now(), request.query_params.get("marks") == "1"
    item = await reviews.next_item(site.writer, visitor.name, now, tenants=visitor.tenants)
    progress = await reviews.progress(site.reader, visitor.name, now, tenants=visitor.tenants)
    window = Window(now - AGREEMENT_REACHES, now)
    labelled = await reviews.labelled(site.reader, window, tenants=visitor.tenants)
    agreed = agreement([[label.harmful for label in one.labels] for one in labelled])
    if item is None:
        return await show(request, "review.html", _empty(progress, agreed))
    async with reading(request) as log:
        detail = await log.get(item.exchange_id)
        policy = (
            None if detail is None else await policy_of(log.connection, detail.row.policy_version)
        )
    if detail is None:
        raise HTTPException(404)
    look = {"exchange": str(item.exchange_id), "side": item.side, "marked": marked}
    await audited(request, "review.open", str(item.id), look)
    page = view(item, detail, policy, progress, agreed, marked=marked)
    return await show(request, "review.html", page)


@router.post("/review/label")
async def label(request: Request) -> Response:
    """Take a judgement, and go on to the next item."""
    site, visitor = site_of(request), visitor_of(request)
    form = await request.form()
    answer, chosen = str(form.get("answer", "")), [str(one) for one in form.getlist("labels")]
    try:
        item_id = UUID(str(form.get("item", "")))
    except ValueError as error:
        raise HTTPException(400, "Which item? Load the queue again.") from error
    if answer not in ANSWERS or set(chosen) - set(LABELS):
        raise HTTPException(400, "This is no judgement that is known here.")
    if await reviews.find(site.reader, item_id, tenants=visitor.tenants) is None:
        raise HTTPException(404)
    harmful = ANSWERS[answer]
    kept = chosen if harmful else []
    note = str(form.get("note", "")).strip()[:NOTE_CHARACTERS] or None
    await audited(request, "review.label", str(item_id), {"harmful": harmful, "labels": kept})
    await reviews.label(
        site.writer, item_id, visitor.name, harmful=harmful, labels=kept, note=note, now=site.now()
    )
    return RedirectResponse("/review", 303)


@router.post("/review/back")
async def back(request: Request) -> Response:
    """Take this reviewer's last judgement back, and show its item again."""
    site = site_of(request)
    await audited(request, "review.back")
    await reviews.take_back(site.writer, visitor_of(request).name, site.now())
    return RedirectResponse("/review", 303)


def view(
    item: Item,
    detail: ExchangeDetail,
    policy: Policy | None,
    progress: Progress,
    agreed: Agreement,
    *,
    marked: bool,
) -> View:
    """The page from an item and its exchange; neither verdict nor scores are told."""
    inputs = msgspec.convert(detail.inputs, list[Segment])
    outputs = msgspec.convert(detail.outputs, list[Segment])
    spans = (
        marked_spans(
            msgspec.convert(detail.checks, list[Check]),
            msgspec.convert(detail.reasons, list[Reason]),
            {"input": inputs, "output": outputs},
            () if policy is None or not marked else rules_for(policy, detail.row),
        )[item.side]
        if marked
        else {}
    )
    asked = [said_of(segment) for segment in inputs] or texts(detail.request)
    answered = [said_of(segment) for segment in outputs] or texts(detail.completion)
    reason = item.evidence.get("reason")
    if item.side == "input":
        context, judged = None, turns_of(asked, CHARACTERS, spans, latest=True)
    else:
        context = turns_of(asked, CHARACTERS // 3, latest=True)
        judged = turns_of(answered, CHARACTERS, spans)
    return View(
        item=item,
        why=WHY[item.why],
        appeal=str(reason) if reason else None,
        context=context,
        judged=judged,
        marked=marked,
        progress=progress,
        agreement=agreed,
    )


def _empty(progress: Progress, agreed: Agreement) -> View:
    return View(None, "", None, None, None, False, progress, agreed)
