"""A policy on its way: written as a draft, held to its form, put in shadow, then in force."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from dashboards import audit
from dashboards.forms import reason_of
from dashboards.pages import Page
from dashboards.site import needs, show, site_of
from dashboards.visitors import visitor_of
from guardrails.errors import BadRequest, ConfigError
from guardrails.policy.model import Policy, parse_policy
from monitoring import policies
from monitoring.policies import PARTS, Draft, Part

PAGE = Page("Policy draft", "/policies/drafts", role="reviewer")
router = APIRouter()

MOST_CHARACTERS = 200_000


class View(Struct, frozen=True):
    """All that the template needs; names as there. `fault` says why it cannot be used as it is."""

    draft: Draft
    fault: str | None
    policy: Policy | None
    trouble: str | None = None
    parts: tuple[Part, ...] = PARTS


@router.post("/policies/{version}/draft")
async def begin(request: Request, version: str) -> Response:
    """A draft that begins as a version that was there."""
    async with site_of(request).writer.begin() as connection:
        source = await policies.source_of(connection, version)
        if source is None:
            raise HTTPException(404)
        draft_id = await policies.begin_draft(connection, source, who=visitor_of(request).name)
        await _record(request, connection, "policy.draft", str(draft_id), {"of": version})
    return RedirectResponse(f"/policies/drafts/{draft_id}", 303)


@router.get("/policies/drafts/{draft_id}")
async def draft(request: Request, draft_id: UUID) -> Response:
    """The page."""
    return await show(request, "policy_draft.html", view(await _draft(request, draft_id)))


@router.post("/policies/drafts/{draft_id}")
async def change(request: Request, draft_id: UUID) -> Response:
    """Keep another text, whether it is valid yet or not."""
    form = await request.form()
    source = str(form.get("source", "")).replace("\r\n", "\n")
    if len(source) > MOST_CHARACTERS:
        raise BadRequest("A policy of this length cannot be kept.", param="source")
    seen = _moment(str(form.get("seen", "")))
    async with site_of(request).writer.begin() as connection:
        kept = await policies.change_draft(
            connection, draft_id, source, who=visitor_of(request).name, seen=seen
        )
        if kept:
            await _record(request, connection, "policy.draft.change", str(draft_id), {})
    if kept:
        return RedirectResponse(f"/policies/drafts/{draft_id}", 303)
    found = await _draft(request, draft_id)
    trouble = (
        f"{found.changed_by} changed this draft while you wrote. Your text stands below and is not"
        " kept yet: save it again to put it in the place of theirs."
    )
    mine = Draft(found.id, source, found.made_by, found.made_at, found.changed_by, found.changed_at)
    return await show(request, "policy_draft.html", view(mine, trouble), status=409)


@router.post("/policies/drafts/{draft_id}/drop")
async def drop(request: Request, draft_id: UUID) -> Response:
    """Throw it away."""
    async with site_of(request).writer.begin() as connection:
        await policies.drop_draft(connection, draft_id)
        await _record(request, connection, "policy.draft.drop", str(draft_id), {})
    return RedirectResponse("/policies", 303)


@router.post("/policies/drafts/{draft_id}/release", dependencies=[needs("admin")])
async def release_draft(request: Request, draft_id: UUID) -> Response:
    """Put a draft in force, or in shadow."""
    found = await _draft(request, draft_id)
    return await _release(request, found.source)


@router.post("/policies/{version}/release", dependencies=[needs("admin")])
async def release_version(request: Request, version: str) -> Response:
    """Put a version that was there in force again, or in shadow."""
    async with site_of(request).reader.connect() as connection:
        source = await policies.source_of(connection, version)
    if source is None:
        raise HTTPException(404)
    return await _release(request, source)


@router.post("/policies/give-back", dependencies=[needs("admin")])
async def give_back(request: Request) -> Response:
    """Let the proxies go back to what they are configured with."""
    return await _release(request, None)


def view(draft: Draft, trouble: str | None = None) -> View:
    """A draft with what is wrong with it, if anything is."""
    try:
        return View(draft, None, parse_policy(draft.source, None), trouble)
    except ConfigError as error:
        return View(draft, error.message, None, trouble)


async def _release(request: Request, source: str | None) -> Response:
    form = await request.form()
    part = str(form.get("part", ""))
    if part not in PARTS:
        raise BadRequest("A policy is put in force (`enforce`) or in `shadow`.", param="part")
    why = reason_of(form)
    try:
        policy = None if source is None else parse_policy(source, None)
    except ConfigError as error:
        raise BadRequest(error.message, param="source") from error
    async with site_of(request).writer.begin() as connection:
        await policies.release(connection, part, policy, who=visitor_of(request).name, why=why)
        detail = {"part": part, "why": why}
        target = "the proxies' files" if policy is None else policy.label
        await _record(request, connection, "policy.release", target, detail)
    return RedirectResponse("/policies", 303)


async def _draft(request: Request, draft_id: UUID) -> Draft:
    async with site_of(request).reader.connect() as connection:
        found = await policies.draft(connection, draft_id)
    if found is None:
        raise HTTPException(404)
    return found


async def _record(
    request: Request, connection: AsyncConnection, action: str, target: str, detail: dict[str, str]
) -> None:
    await audit.record(connection, visitor_of(request).name, action, target, detail)


def _moment(written: str) -> datetime:
    try:
        return datetime.fromisoformat(written)
    except ValueError as error:
        raise BadRequest("Load the draft again before you save it.", param="seen") from error
