"""Who may look: a person at this machine, or one who holds a key with the scope `dashboard`."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

KeyTest = Callable[[str], bool]
"""Whether a key exists, is not revoked, and has the scope `dashboard`."""

_OPEN_PATHS = ("/healthz",)
_FORWARDING_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Access:
    """ASGI middleware: HTTP Basic with an API key as password, except at this very machine.

    Without a key only a loopback client of a loopback server is let in, and only under a loopback
    name: a page elsewhere that resolves its own name to 127.0.0.1 (DNS rebinding) sends its own
    name as Host, and a proxy that forwards for others says so in its headers.
    """

    def __init__(self, app: ASGIApp, *, bound_to: str, allows: KeyTest) -> None:
        self._app = app
        self._loopback_only = is_loopback(bound_to)
        self._allows = allows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 401."""
        if scope["type"] != "http" or self._may_enter(scope):
            await self._app(scope, receive, send)
            return
        answer = PlainTextResponse(
            "Log in with any user name and, as the password, an API key that has the scope"
            " `dashboard`.\nMake one with: banister keys create --scope dashboard\n",
            status_code=401,
            headers={"www-authenticate": 'Basic realm="Banister", charset="UTF-8"'},
        )
        await answer(scope, receive, send)

    def _may_enter(self, scope: Scope) -> bool:
        if scope["path"] in _OPEN_PATHS:
            return True
        headers = Headers(scope=scope)
        if self._loopback_only and _is_at_this_machine(scope, headers):
            return True
        key = password_of(headers.get("authorization", ""))
        return key is not None and self._allows(key)


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


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and no other."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_at_this_machine(scope: Scope, headers: Headers) -> bool:
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return False
    if any(name in headers for name in _FORWARDING_HEADERS):
        return False
    hosts = headers.getlist("host")
    return len(hosts) == 1 and is_loopback(_without_port(hosts[0]))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
