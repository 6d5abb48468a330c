"""Who may enter? One who is logged in, one who shows a key, or a person at this very machine.

The last holds only while the installation has no user: a loopback client of a loopback server,
under a loopback name (guardrails/loopback.py), is then the `local admin`, and named so.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.visitors import Visitor
from guardrails.keys import ALL_TENANTS, Key
from guardrails.loopback import is_local, is_loopback

SESSION_COOKIE = "banister_session"
SEAT_COOKIE = "banister_seat"
LOCAL_ADMIN = "local admin"
LOGIN = "/login"
_OPEN = ("/healthz", "/static/")
_AWAY = PlainTextResponse(
    "The exchange log cannot be read: the database does not answer.\n"
    "Exchanges are not lost by that; try again soon.\n",
    status_code=503,
    headers={"retry-after": "5"},
)
_BEFORE_LOGIN = (LOGIN, "/login/oidc", "/login/oidc/back")


class Door:
    """Knows a visitor by what a request shows."""

    def __init__(
        self,
        *,
        bound_to: str,
        key_of: Callable[[str], Key | None],
        session_of: Callable[[str], Awaitable[Visitor | None]],
        has_users: Callable[[], Awaitable[bool]],
    ) -> None:
        self._loopback_only = is_loopback(bound_to)
        self._key_of = key_of
        self._session_of = session_of
        self.has_users = has_users

    async def visitor(self, scope: Scope, cookies: Mapping[str, str]) -> Visitor | None:
        """Who it is; None for nobody whom we know."""
        token = cookies.get(SESSION_COOKIE)
        if token is not None and (visitor := await self._session_of(token)) is not None:
            return visitor
        key = password_of(Headers(scope=scope).get("authorization", ""))
        if key is not None:
            return self._with_key(key)
        local = self._loopback_only and is_local(dict(scope["headers"]), scope.get("client"))
        # Disabled users count: to disable the last one must not open the door to all.
        if local and not await self.has_users():
            return Visitor(LOCAL_ADMIN, "admin", "local")
        return None

    def _with_key(self, token: str) -> Visitor | None:
        key = self._key_of(token)
        if key is None or not key.may("dashboard"):
            return None
        tenants = None if key.tenant == ALL_TENANTS else (key.tenant,)
        return Visitor(f"key {key.id}", "viewer", "key", tenants)


class Access:
    """ASGI middleware: puts the visitor into the scope, or turns the request away.

    `scope["visitor"]` is None only where everybody may come. `scope["seat"]` is the secret that the
    tokens of the pages' forms are made of: the session's, or a cookie of its own.
    """

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 401 or with the way to the login."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookies = cookies_of(scope)
        path = scope["path"]
        visitor = None
        if not path.startswith(_OPEN):
            try:
                visitor = await self._door.visitor(scope, cookies)
            except SQLAlchemyError:
                # Who cannot be known is not let in; and no page could be read anyway.
                await _AWAY(scope, receive, send)
                return
            if visitor is None and path not in _BEFORE_LOGIN:
                refused = await self._refusal(scope)
                await refused(scope, receive, send)
                return
        seat = (visitor.seat if visitor else "") or cookies.get(SEAT_COOKIE, "")
        scope["visitor"] = visitor
        if seat or path.startswith(_OPEN):
            scope["seat"] = seat
            await self._app(scope, receive, send)
            return
        scope["seat"] = secrets.token_urlsafe(24)
        await self._app(scope, receive, _with_cookie(send, scope["seat"]))

    async def _refusal(self, scope: Scope) -> Response:
        """A browser is shown the way to the login, where anybody can log in; others get a 401."""
        headers = Headers(scope=scope)
        asks = scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", "")
        if asks and "authorization" not in headers and await self._door.has_users():
            wanted = scope["path"]
            if scope["query_string"]:
                wanted += "?" + scope["query_string"].decode("latin-1")
            return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='')}", 303)
        return PlainTextResponse(
            "Log in with any user name and, as the password, an API key that has the scope"
            " `dashboard`.\nMake one with: banister keys create NAME --scope dashboard\n",
            status_code=401,
            headers={"www-authenticate": 'Basic realm="Banister", charset="UTF-8"'},
        )


def _with_cookie(send: Send, seat: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append(
                "set-cookie", f"{SEAT_COOKIE}={seat}; Path=/; HttpOnly; SameSite=Strict"
            )
        await send(message)

    return sending


def cookies_of(scope: Scope) -> dict[str, str]:
    """The cookies of a request by name; none where they cannot be read."""
    try:
        jar = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def password_of(authorization: str) -> str | None:
    """The password in an `Authorization: Basic …` header; None where there is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    _, colon, password = decoded.partition(":")
    return password if colon and password else None
