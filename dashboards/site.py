"""What every page is given: a view of the log, the shell around it, and the audit log.

A handler reads with `reading(request)`, writes through a record module on the site's `writer`, and
answers with `show(request, template, view)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException

from dashboards import audit, csrf
from dashboards.drawing import Drawing
from dashboards.filters import Filters, read_filters
from dashboards.kept import Kept
from dashboards.oidc import Provider
from dashboards.pages import Group, Page, navigation
from dashboards.scoped import Choices, ScopedLog
from dashboards.templating import Render
from dashboards.visitors import Role, Visitor, visitor_of
from guardrails.errors import BadRequest
from guardrails.exchange_log.cipher import Cipher
from guardrails.settings import Settings

CHOICES_KEPT = timedelta(seconds=60)
THEMES = ("light", "dark")


class Shell(Struct, frozen=True):
    """What `base.html` draws around a page."""

    title: str
    here: str
    groups: tuple[Group, ...]
    visitor: Visitor | None
    csrf: str
    filters: Filters
    now: datetime
    theme: str | None = None
    bar: Choices | None = None
    any_time: bool = False


class Site:
    """One installation's dashboards: where they read, where they write, how they render."""

    def __init__(
        self,
        settings: Settings,
        *,
        reader: AsyncEngine,
        writer: AsyncEngine,
        cipher: Cipher | None,
        secret: bytes,
        render: Render,
        pages: Sequence[Page],
        now: Callable[[], datetime],
        provider: Provider | None = None,
        drawing: Drawing | None = None,
    ) -> None:
        self.settings = settings
        self.reader = reader
        self.writer = writer
        self.cipher = cipher
        self.secret = secret
        self.render = render
        self.pages = tuple(pages)
        self.now = now
        self.provider = provider
        self.drawing = drawing or Drawing()
        self.kept = Kept()
        self.closing = False
        """Set when the process was told to stop: what streams must end."""
        self._choices: dict[tuple[str, ...] | None, tuple[datetime, Choices]] = {}

    async def choices(self, tenants: tuple[str, ...] | None) -> Choices:
        """What the filter bar offers such a visitor, read once a minute."""
        now = self.now()
        kept = self._choices.get(tenants)
        if kept is None or now - kept[0] >= CHOICES_KEPT:
            async with self.reader.connect() as connection:
                found = await ScopedLog(connection, tenants).choices(now)
            kept = self._choices[tenants] = (now, found)
        return kept[1]


def site_of(request: Request) -> Site:
    """The site that serves this request."""
    site: Site = request.app.state.site
    return site


@asynccontextmanager
async def reading(request: Request) -> AsyncIterator[ScopedLog]:
    """The exchange log as this visitor may see it, for one block."""
    site = site_of(request)
    async with site.reader.connect() as connection:
        yield ScopedLog(connection, visitor_of(request).tenants, site.cipher)


def filters_of(request: Request) -> Filters:
    """The filter bar's choices in this address."""
    return read_filters(request.query_params)


async def audited(
    request: Request, action: str, target: str = "", detail: Mapping[str, Any] | None = None
) -> None:
    """Record an act or a look before it is done: what cannot be recorded does not happen."""
    async with site_of(request).writer.begin() as connection:
        await audit.record(connection, visitor_of(request).name, action, target, detail)


async def show(
    request: Request, template: str, view: Any = None, *, status: int = 200
) -> HTMLResponse:
    """A page: its template with its view's fields, in the shell."""
    site = site_of(request)
    page: Page | None = getattr(request.state, "page", None)
    visitor: Visitor | None = request.scope.get("visitor")
    bar = None
    if page is not None and page.bar and visitor is not None:
        bar = await site.choices(visitor.tenants)
    shell = shell_of(request, bar)
    return HTMLResponse(site.render(template, view, shell), status_code=status)


def shell_of(request: Request, bar: Choices | None = None) -> Shell:
    """The shell around this request's page; it reads nothing from the database."""
    site = site_of(request)
    page: Page | None = getattr(request.state, "page", None)
    visitor: Visitor | None = request.scope.get("visitor")
    theme = request.cookies.get("theme")
    try:
        filters = filters_of(request)
    except BadRequest:
        # The page of an error may be about the filters themselves.
        filters = Filters()
    return Shell(
        title="" if page is None else page.title,
        here=request.url.path,
        groups=() if visitor is None else navigation(site.pages, visitor),
        visitor=visitor,
        csrf=csrf.token_of(site.secret, request.scope.get("seat", "")),
        filters=filters,
        now=site.now(),
        theme=theme if theme in THEMES else None,
        bar=bar,
        any_time=page is not None and page.any_time,
    )


def admit(page: Page) -> Any:
    """A dependency of all of a page's addresses: who may not see it is refused before it runs."""

    async def check(request: Request) -> AsyncIterator[None]:
        visitor: Visitor | None = request.scope["visitor"]
        request.state.page = page
        if not page.shown_to(visitor):
            raise HTTPException(403, _refusal(visitor, page.role))
        await csrf.check(request, site_of(request).secret, request.scope.get("seat", ""))
        yield
        # Files that were sent lie on the disk until their form is closed.
        await request.close()

    return Depends(check)


def needs(role: Role) -> Any:
    """A dependency of an action that takes a higher role than its page."""

    async def check(request: Request) -> None:
        visitor = visitor_of(request)
        if not visitor.may(role):
            raise HTTPException(403, _refusal(visitor, role))

    return Depends(check)


def _refusal(visitor: Visitor | None, role: Role) -> str:
    if visitor is None:
        return "Log in first."
    if not visitor.may(role):
        return f"This takes the role {role}; {visitor.name} has the role {visitor.role}."
    return f"This page shows all tenants, and {visitor.name} may see some of them only."
