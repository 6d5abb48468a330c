"""API keys and users: who may call the proxy, and who may log in here."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct
from starlette.datastructures import FormData

from dashboards import audit, sessions, users
from dashboards.pages import Page
from dashboards.passwords import LEAST_CHARACTERS, hash_password
from dashboards.site import audited, show, site_of
from dashboards.users import User
from dashboards.visitors import ROLES, Role, visitor_of
from guardrails.errors import ConfigError
from guardrails.keys import SCOPES, Key, create_key, list_keys, revoke_key

PAGE = Page("Keys & users", "/people", group="Keep", place=30, role="admin", key="u")
router = APIRouter()

NAME_CHARACTERS = 80
MOST_DAYS = 3_650


class ShownKey(Struct, frozen=True):
    """A key and whether it works now."""

    key: Key
    state: str
    works: bool


class View(Struct, frozen=True):
    """All that the template needs; names as there. `token` is shown this once."""

    keys: tuple[ShownKey, ...]
    users: tuple[User, ...]
    sessions: dict[UUID, int]
    trouble: str | None = None
    token: str | None = None
    made: str | None = None
    scopes: tuple[str, ...] = SCOPES
    roles: tuple[str, ...] = ROLES
    routes: tuple[str, ...] = ()
    least: int = LEAST_CHARACTERS


@router.get("/people")
async def people(request: Request) -> Response:
    """The page."""
    return await _page(request)


@router.post("/people/keys")
async def make_key(request: Request) -> Response:
    """A new key; its token stands on the answer's page and nowhere else."""
    site, form = site_of(request), await request.form()
    name, days = _text(form, "name")[:NAME_CHARACTERS], _text(form, "days")
    now = site.now()
    try:
        if not name:
            raise ConfigError("A key needs a name that says whose it is.")
        if days and not (days.isdecimal() and 1 <= int(days[:6]) <= MOST_DAYS):
            raise ConfigError(f"A key lasts 1 to {MOST_DAYS:,} days, or has no end.")
        scopes = [str(scope) for scope in form.getlist("scopes")]
        routes = [str(route) for route in form.getlist("routes")]
        tenant = _text(form, "tenant")[:NAME_CHARACTERS] or "default"
        await audited(request, "key.create", name, {"scopes": scopes, "tenant": tenant})
        key, token = await create_key(
            str(site.settings.database_url),
            site.secret,
            name=name,
            scopes=scopes,
            routes=routes or None,
            tenant=tenant,
            expires_at=now + timedelta(days=int(days)) if days else None,
            now=now,
        )
    except ConfigError as error:
        return await _page(request, trouble=error.message, status=400)
    return await _page(request, token=token, made=key.id)


@router.post("/people/keys/{key_id}/revoke")
async def revoke(request: Request, key_id: str) -> Response:
    """Stop a key for good."""
    site = site_of(request)
    await audited(request, "key.revoke", key_id)
    if not await revoke_key(str(site.settings.database_url), key_id, now=site.now()):
        raise HTTPException(404)
    return RedirectResponse("/people", 303)


@router.post("/people/users")
async def make_user(request: Request) -> Response:
    """A new user with a first password, which that person changes."""
    site, form = site_of(request), await request.form()
    name, role = _text(form, "name"), _role(form)
    try:
        hashed = hash_password(str(form.get("password", "")))
        async with site.writer.begin() as connection:
            await audit.record(
                connection, visitor_of(request).name, "user.create", name[:80], {"role": role}
            )
            await users.create(
                connection,
                name=name,
                role=role,
                email=_text(form, "email")[:200] or None,
                tenants=_tenants(form),
                password_hash=hashed,
                now=site.now(),
            )
    except ConfigError as error:
        return await _page(request, trouble=error.message, status=400)
    return RedirectResponse("/people#users", 303)


@router.post("/people/users/{name}/{act}")
async def change_user(request: Request, name: str, act: str) -> Response:
    """Other rights, no more entry, or entry again. Nobody takes the last admin away, or himself."""
    site, form, visitor = site_of(request), await request.form(), visitor_of(request)
    if visitor.how == "session" and visitor.name == name:
        raise HTTPException(409, "Another admin must change your own rights.")
    async with site.writer.begin() as connection:
        await audit.record(connection, visitor.name, f"user.{act}", name[:80])
        if act == "disable":
            done = await users.disable(connection, name, site.now())
        elif act == "enable":
            done = await users.enable(connection, name)
        elif act == "rights":
            done = await users.set_rights(connection, name, _role(form), _tenants(form))
        else:
            raise HTTPException(404)
        if not done:
            raise HTTPException(404)
    return RedirectResponse("/people#users", 303)


async def _page(
    request: Request,
    *,
    trouble: str | None = None,
    token: str | None = None,
    made: str | None = None,
    status: int = 200,
) -> Response:
    site = site_of(request)
    now = site.now()
    keys = await list_keys(str(site.settings.database_url))
    async with site.reader.connect() as connection:
        found = await users.every_user(connection)
        open_sessions = await sessions.count_of(connection, now)
    page = View(
        keys=tuple(shown(key, now) for key in reversed(keys)),
        users=tuple(found),
        sessions=open_sessions,
        trouble=trouble,
        token=token,
        made=made,
        routes=tuple(sorted(site.settings.routes)),
    )
    return await show(request, "people.html", page, status=status)


def shown(key: Key, now: datetime) -> ShownKey:
    """A key with its state in words."""
    if key.revoked_at is not None:
        return ShownKey(key, f"revoked {key.revoked_at:%d %b %Y}", False)
    if key.expires_at is None:
        return ShownKey(key, "works", True)
    works = key.valid(now)
    return ShownKey(key, f"{'until' if works else 'expired'} {key.expires_at:%d %b %Y}", works)


def _text(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()


def _role(form: FormData) -> Role:
    role = _text(form, "role")
    if role not in ROLES:
        raise HTTPException(400, f"A role is one of: {', '.join(ROLES)}.")
    return role


def _tenants(form: FormData) -> list[str] | None:
    """Names with commas between; none of them: all tenants."""
    named = [name.strip() for name in _text(form, "tenants").split(",")]
    return [name for name in named if name] or None
