"""One's own account: who one is here, another password, and the end of all sessions."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct

from dashboards import audit, cookies, passwords, users
from dashboards.pages import Page
from dashboards.site import show, site_of
from dashboards.visitors import visitor_of
from guardrails.errors import ConfigError

PAGE = Page("Your account", "/account", scoped=True)
router = APIRouter()


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    user: users.User
    trouble: str | None = None
    least: int = passwords.LEAST_CHARACTERS


@router.get("/account")
async def account(request: Request) -> Response:
    """The page."""
    user, _ = await _self(request)
    return await show(request, "account.html", View(user))


@router.post("/account/password")
async def change(request: Request) -> Response:
    """Another password: every session ends, this one too."""
    form = await request.form()
    user, stored = await _self(request)
    try:
        if not await passwords.fits(stored, str(form.get("old", ""))):
            raise ConfigError("The old password does not fit.")
        hashed = passwords.hash_password(str(form.get("new", "")))
    except ConfigError as error:
        return await show(request, "account.html", View(user, error.message), status=400)
    async with site_of(request).writer.begin() as connection:
        await audit.record(connection, user.name, "user.password", user.name)
        await users.set_password(connection, user.name, hashed)
    answer = RedirectResponse("/login", 303)
    cookies.take_session(answer)
    return answer


async def _self(request: Request) -> tuple[users.User, str | None]:
    visitor = visitor_of(request)
    if visitor.how != "session":
        raise HTTPException(404)
    async with site_of(request).reader.connect() as connection:
        found = await users.by_name(connection, visitor.name)
    if found is None:
        raise HTTPException(404)
    return found
