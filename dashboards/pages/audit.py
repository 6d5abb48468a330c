"""The audit log: who did what, and who looked at which text."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards import audit
from dashboards.audit import Entry
from dashboards.pages import Page
from dashboards.site import filters_of, reading, show
from guardrails.errors import BadRequest

PAGE = Page("Audit log", "/audit", group="Keep", place=40, role="admin", key="l")
router = APIRouter()

PAGE_ROWS = 100
DETAIL_CHARACTERS = 200
MADE_OF_ACTIONS = ("exchange", "exchanges", "review", "appeal", "login", "user", "key", "alert",
                   "labels", "policy", "model", "retraining", "document", "report",
                   "view")  # fmt: skip


class Line(Struct, frozen=True):
    """One act, in words; `exchange` is the id of the exchange that it was about."""

    entry: Entry
    detail: str
    exchange: str | None


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    lines: tuple[Line, ...]
    who: str
    action: str
    older_url: str | None
    actions: tuple[str, ...] = MADE_OF_ACTIONS


@router.get("/audit")
async def log(request: Request) -> Response:
    """The page."""
    query = request.query_params
    who, action = query.get("who", "").strip(), query.get("action", "").strip()
    written = query.get("before", "")
    if written and not written.isdigit():
        raise BadRequest("This place in the audit log cannot be read.", param="before")
    async with reading(request) as of:
        entries = await audit.latest(
            of.connection,
            PAGE_ROWS + 1,
            before=int(written[:18]) if written else None,
            who=who or None,
            action=action or None,
        )
    older = None
    if len(entries) > PAGE_ROWS:
        before = entries[PAGE_ROWS - 1].id
        older = filters_of(request).carry("/audit", who=who, action=action, before=before)
    return await show(request, "audit.html", view(entries[:PAGE_ROWS], who, action, older))


def view(entries: Sequence[Entry], who: str, action: str, older_url: str | None) -> View:
    """The page from the entries."""
    return View(tuple(_line(entry) for entry in entries), who, action, older_url)


def _line(entry: Entry) -> Line:
    detail = ", ".join(f"{name}: {_plain(value)}" for name, value in entry.detail.items())
    exchange = None
    if entry.action.startswith(("exchange.", "appeal.")):
        exchange = entry.target
    elif entry.action == "review.open":
        exchange = str(entry.detail.get("exchange"))
    return Line(entry, detail[:DETAIL_CHARACTERS], exchange)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
