"""Exchanges: the latest, searched and filtered, and one's own views of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards import audit, views
from dashboards.filters import Filters
from dashboards.live import stream
from dashboards.pages import Page
from dashboards.site import audited, filters_of, reading, shell_of, show, site_of
from dashboards.views import SavedView
from dashboards.visitors import visitor_of
from guardrails.errors import BadRequest
from guardrails.exchange_log.rows import Before, ExchangeRow

PAGE = Page(
    "Exchanges",
    "/exchanges",
    group="Watch",
    place=20,
    scoped=True,
    bar=True,
    any_time=True,
    key="e",
)
router = APIRouter()

PAGE_ROWS = 40
TEXT_REACHES = timedelta(days=7)
DECISIONS = ("allow", "flag", "redact", "block", "failed")
EXCERPT_CHARACTERS = 140
NAME_CHARACTERS = 80

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Search(Struct, frozen=True):
    """What the list itself is narrowed by, besides the filter bar; None: by nothing."""

    decision: str | None = None
    text: str | None = None

    @property
    def chosen(self) -> dict[str, str]:
        """As it stands in the address."""
        return {k: v for k, v in (("decision", self.decision), ("text", self.text)) if v}


class Line(Struct, frozen=True):
    """One exchange in the list."""

    id: str
    started_at: datetime
    kind: str
    excerpt: str
    why: str
    route: str
    model: str
    seconds: float | None


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    rows: tuple[Line, ...]
    search: Search
    narrowed: bool
    older_url: str | None
    newest_url: str | None
    live_url: str | None
    clear_url: str
    here_url: str = "/exchanges"
    views: tuple[SavedView, ...] = ()
    decisions: tuple[str, ...] = DECISIONS


@router.get("/exchanges")
async def exchanges(request: Request) -> Response:
    """The list."""
    page, _ = await _read(request)
    looked = filters_of(request).chosen | page.search.chosen
    await audited(request, "exchanges.search" if page.search.text else "exchanges.list", "", looked)
    async with site_of(request).reader.connect() as connection:
        saved = await views.of(connection, visitor_of(request).name)
    return await show(request, "exchanges.html", msgspec.structs.replace(page, views=tuple(saved)))


@router.post("/exchanges/views")
async def save_view(request: Request) -> Response:
    """Keep what is shown under a name of one's own."""
    site, form, owner = site_of(request), await request.form(), visitor_of(request).name
    name, address = str(form.get("name", "")).strip(), str(form.get("address", ""))
    async with site.writer.begin() as connection:
        await audit.record(connection, owner, "view.save", name[:80])
        await views.save(connection, owner, name, address, site.now())
    return RedirectResponse(address, 303)


@router.post("/exchanges/views/{view_id}/remove")
async def remove_view(request: Request, view_id: UUID) -> Response:
    """Take a view away."""
    site, owner = site_of(request), visitor_of(request).name
    async with site.writer.begin() as connection:
        await audit.record(connection, owner, "view.remove", str(view_id))
        await views.remove(connection, owner, view_id)
    return RedirectResponse("/exchanges", 303)


@router.get("/live/exchanges")
async def live(request: Request) -> Response:
    """The newest page of the list again whenever it has changed, as server-sent events."""

    async def rendered() -> tuple[str, str]:
        page, version = await _read(request)
        return version, site_of(request).render("_list.html", page, shell_of(request))

    await audited(request, "exchanges.watch", "", dict(request.query_params))
    return stream(request, rendered)


async def _read(request: Request) -> tuple[View, str]:
    """The page, and a tag that changes when what it shows does."""
    filters, search = filters_of(request), read_search(dict(request.query_params))
    written = request.query_params.get("before")
    before = read_place(written) if written else None
    now = site_of(request).now()
    async with reading(request) as log:
        rows = await log.latest(PAGE_ROWS + 1, before=before, **conditions(filters, search, now))
    page = view(rows, filters=filters, search=search, before=before)
    return page, hashlib.sha256(msgspec.json.encode(page.rows)).hexdigest()[:24]


def read_search(query: dict[str, str]) -> Search:
    """The search in an address; an empty one is none. An unknown decision is a BadRequest."""
    search = Search(
        query.get("decision", "").strip() or None, query.get("text", "").strip() or None
    )
    if search.decision is not None and search.decision not in DECISIONS:
        raise BadRequest(f"A decision is one of: {', '.join(DECISIONS)}.", param="decision")
    return search


def conditions(filters: Filters, search: Search, now: datetime) -> dict[str, Any]:
    """Filters and search as `query.latest` takes them.

    Limits: where no time is chosen, text is looked for in the last seven days.
    """
    failed = search.decision == "failed"
    timed = filters.span is not None or filters.since is not None
    window = filters.window(now) if timed else None
    since = window.start if window else now - TEXT_REACHES if search.text else None
    return {
        "decision": None if failed else search.decision,
        "failed": True if failed else None,
        "route": filters.route,
        "model": filters.model,
        "tenant": filters.tenant,
        "text": search.text,
        "since": since,
        "until": window.end if window else None,
    }


def write_place(place: Before) -> str:
    """A row's place in the log for an address: microseconds and id."""
    at, row_id = place
    return f"{(at - _EPOCH) // _MICROSECOND}-{UUID(str(row_id)).hex}"


def read_place(written: str) -> Before:
    """A place from an address; BadRequest where it is none."""
    microseconds, _, row_id = written.partition("-")
    try:
        return _EPOCH + int(microseconds) * _MICROSECOND, UUID(hex=row_id)
    except (ValueError, OverflowError) as error:
        raise BadRequest("This place in the log cannot be read.", param="before") from error


def view(
    rows: Sequence[ExchangeRow], *, filters: Filters, search: Search, before: Before | None
) -> View:
    """The page from what was read; one row more than a page tells that there are older ones."""
    shown = rows[:PAGE_ROWS]
    own = search.chosen
    older = None
    if len(rows) > PAGE_ROWS:
        older = filters.carry("/exchanges", **own, before=write_place(shown[-1].place))
    newest = before is None
    return View(
        rows=tuple(_line(row) for row in shown),
        search=search,
        narrowed=bool(own or filters.chosen),
        older_url=older,
        newest_url=None if newest else filters.carry("/exchanges", **own),
        live_url=filters.carry("/live/exchanges", **own) if newest else None,
        clear_url=filters.carry("/exchanges"),
        here_url=filters.carry("/exchanges", **own),
    )


def _line(row: ExchangeRow) -> Line:
    return Line(
        id=str(row.id),
        started_at=row.started_at,
        kind="failed" if row.failure_code else row.decision,
        excerpt=" ".join(row.excerpt.split())[:EXCERPT_CHARACTERS],
        why=_why(row)[:EXCERPT_CHARACTERS],
        route=row.route[:NAME_CHARACTERS],
        model=row.model[:NAME_CHARACTERS],
        seconds=row.duration_seconds,
    )


def _why(row: ExchangeRow) -> str:
    parts = [*row.rules]
    if row.failure_code:
        parts.insert(0, f"{row.failure_code} ({row.failure_status})")
    if row.abandoned:
        parts.append("the caller left")
    return ", ".join(parts)
