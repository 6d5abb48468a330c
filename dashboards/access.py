"""Who may look: a person at this machine, or one who holds a key with the scope `dashboard`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from guardrails.loopback import is_local, is_loopback

KeyTest = Callable[[str], bool]
"""Whether a key exists, is not revoked, and has the scope `dashboard`."""

_OPEN_PATHS = ("/healthz",)


class Access:
    """ASGI middleware: HTTP Basic with an API key as password, except at this very machine.

    Without a key only a loopback client of a loopback server is let in, and only under a loopback
    name (guardrails/loopback.py).
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
        if self._loopback_only and is_local(dict(scope["headers"]), scope.get("client")):
            return True
        key = password_of(Headers(scope=scope).get("authorization", ""))
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
