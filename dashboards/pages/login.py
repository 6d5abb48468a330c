"""Logging in and out: by password, or with an OpenID Connect provider."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards import audit, cookies, passwords, sessions, throttle, users
from dashboards.access import SESSION_COOKIE
from dashboards.oidc import LoginRefused, Provider
from dashboards.pages import Page
from dashboards.site import audited, show, site_of
from dashboards.visitors import visitor_of

PAGE = Page("Log in", "/login", scoped=True, open=True)
router = APIRouter()

WRONG = "This name and password do not fit."
WAIT = "Too many tries; wait a quarter of an hour, or ask an admin for another password."


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    next: str
    name: str = ""
    trouble: str | None = None
    provider: str | None = None
    people: bool = True


@router.get("/login")
async def login(request: Request) -> Response:
    """The form."""
    people = await users.any_user(site_of(request).reader)
    return await _form(request, request.query_params.get("next", "/"), people=people)


@router.post("/login")
async def try_login(request: Request) -> Response:
    """Let in whose name and password fit; all else is told in the same words."""
    form = await request.form()
    name, next_path = str(form.get("name", "")).strip(), str(form.get("next", "/"))
    site, address = site_of(request), _address(request)
    now = site.now()
    async with site.writer.begin() as connection:
        held = await throttle.held_back(connection, name, address, now)
        found = None if held else await users.by_name(connection, name)
    if held:
        await _failed(request, name, address, "held back")
        return await _form(request, next_path, name=name, trouble=WAIT, status=429)
    user, stored = found or (None, None)
    if not await passwords.fits(stored, str(form.get("password", ""))) or user is None:
        await _failed(request, name, address, "wrong")
        return await _form(request, next_path, name=name, trouble=WRONG, status=403)
    return await _let_in(request, user, next_path)


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End this session."""
    visitor = visitor_of(request)
    if visitor is not None and visitor.how == "session":
        await audited(request, "login.out")
        async with site_of(request).writer.begin() as connection:
            await sessions.end(connection, visitor.seat)
    answer = RedirectResponse("/login", 303)
    cookies.take_session(answer)
    return answer


@router.get("/login/oidc")
async def to_provider(request: Request) -> Response:
    """Send the browser to the provider."""
    url, ticket = await _provider(request).begin(request.query_params.get("next", "/"))
    answer = RedirectResponse(url, 303)
    cookies.give_ticket(request, answer, ticket)
    return answer


@router.get("/login/oidc/back")
async def from_provider(request: Request) -> Response:
    """Let in whom the provider sends back, as the settings say."""
    site = site_of(request)
    try:
        ticket = cookies.read_ticket(request)
        now = site.now()
        identity = await _provider(request).finish(ticket, request.query_params, now.timestamp())
        async with site.writer.begin() as connection:
            user = await users.from_provider(
                connection,
                subject=identity.subject,
                name=identity.name,
                email=identity.email,
                role=identity.role,
                tenants=identity.tenants,
                now=now,
            )
        if user is None:
            raise LoginRefused("This user is disabled here.")
    except LoginRefused as error:
        await _failed(request, "", _address(request), error.message)
        answer = await _form(request, "/", trouble=error.message, status=403)
        cookies.take_ticket(answer)
        return answer
    answer = await _let_in(request, user, ticket.next)
    cookies.take_ticket(answer)
    return answer


async def _let_in(request: Request, user: users.User, next_path: str) -> Response:
    """A new session, whatever the browser showed before; that one ends."""
    site, address = site_of(request), _address(request)
    async with site.writer.begin() as connection:
        await throttle.succeeded(connection, user.name, address)
        if old := request.cookies.get(SESSION_COOKIE):
            await sessions.end(connection, old)
        token = await sessions.begin(connection, user.id, site.now(), address)
        await audit.record(connection, user.name, "login.in", "", {"address": address})
    answer = RedirectResponse(inside(next_path), 303)
    cookies.give_session(request, answer, token)
    return answer


async def _failed(request: Request, name: str, address: str, why: str) -> None:
    site = site_of(request)
    async with site.writer.begin() as connection:
        if why != "held back":
            await throttle.failed(connection, name, address, site.now())
        detail = {"address": address, "why": why}
        await audit.record(connection, "nobody", "login.failed", name[:80], detail)


async def _form(
    request: Request,
    next_path: str,
    *,
    name: str = "",
    trouble: str | None = None,
    people: bool = True,
    status: int = 200,
) -> Response:
    settings = site_of(request).settings.oidc
    provider = None if settings is None else settings.button
    page = View(inside(next_path), name[:80], trouble, provider, people)
    return await show(request, "login.html", page, status=status)


def inside(path: str) -> str:
    """A path of ours, or the first page: nobody is sent to another site by a link to us."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\", "/login", "/logout"))
    return path if plain and path.isprintable() else "/"


def _provider(request: Request) -> Provider:
    provider = site_of(request).provider
    if provider is None:
        raise HTTPException(404)
    return provider


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
