"""One appeal: which exchange it is about, and what people said of it."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards.pages import Page
from dashboards.site import audited, reading, show, site_of
from dashboards.visitors import visitor_of
from guardrails.exchange_log.rows import ExchangeDetail, ExchangeRow
from monitoring import reviews
from monitoring.reviews import Item, Label

PAGE = Page("Appeal", "/appeals", role="reviewer", scoped=True)
router = APIRouter()


class View(Struct, frozen=True):
    """All that the template needs; names as there. `state` None: nobody has appealed."""

    row: ExchangeRow
    state: str | None
    reason: str | None
    labels: tuple[Label, ...]


@router.get("/appeals")
async def named(request: Request) -> Response:
    """To the appeal whose id was typed in."""
    wanted = request.query_params.get("id", "").strip()
    if not wanted.replace("-", "").isalnum():
        raise HTTPException(404)
    return RedirectResponse(f"/appeals/{wanted}", 303)


@router.get("/appeals/{appeal_id}")
async def appeal(request: Request, appeal_id: str) -> Response:
    """The page; the id is that of the exchange."""
    detail = await _exchange(request, appeal_id)
    await audited(request, "appeal.open", str(detail.row.id))
    found = await _lodged(request, detail)
    labels = () if found is None else found.labels
    reason = None if found is None else found.item.evidence.get("reason")
    return await show(request, "appeal.html", View(detail.row, _state(found), reason, labels))


@router.post("/appeals/{appeal_id}")
async def lodge(request: Request, appeal_id: str) -> Response:
    """Put the exchange before the reviewers, for one who appealed by other ways."""
    detail = await _exchange(request, appeal_id)
    reason = str((await request.form()).get("reason", "")).strip()[:2_000]
    visitor = visitor_of(request)
    decided = [r for r in detail.reasons if r["action"] == detail.row.decision]
    item = Item(
        exchange_id=detail.row.id,
        exchange_started_at=detail.row.started_at,
        side=decided[0]["side"] if decided else "input",
        why="appeal",
        stratum="blocked" if detail.row.decision == "block" else None,
        sampled_at=site_of(request).now(),
        evidence={"lodged_by": visitor.name, **({"reason": reason} if reason else {})},
    )
    await audited(request, "appeal.lodge", str(detail.row.id))
    await reviews.add_items(site_of(request).writer, [item])
    return RedirectResponse(f"/appeals/{detail.row.id}", 303)


async def _exchange(request: Request, appeal_id: str) -> ExchangeDetail:
    async with reading(request) as log:
        detail = await log.get(appeal_id)
    if detail is None:
        raise HTTPException(404)
    return detail


async def _lodged(request: Request, detail: ExchangeDetail) -> reviews.Labelled | None:
    engine = site_of(request).reader
    found = await reviews.of_exchange(engine, detail.row.id)
    return next((one for one in found if one.item.why == "appeal"), None)


def _state(found: reviews.Labelled | None) -> str | None:
    if found is None:
        return None
    harmful = sum(label.harmful is True for label in found.labels)
    harmless = sum(label.harmful is False for label in found.labels)
    if harmful == harmless:
        return "waiting"
    return "upheld" if harmful > harmless else "overturned"
