"""Who may ask: an API key for the route, or, while there are no keys at all, a local program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardrails.errors import BadRequest, GuardUnavailable
from guardrails.keys import KeyRing
from guardrails.loopback import is_local
from guardrails.types import Caller

RETRY_SECONDS = 2


class Access:
    """Decides on each request by its key and its routed path, never by its Host header.

    Without any key configured only this machine is served: the connection must come from loopback,
    not through another proxy, and name a loopback host (a page that rebinds its DNS name does not).
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def caller(
        self, headers: Mapping[bytes, bytes], client: Sequence[object] | None, route: str
    ) -> Caller:
        """Who asks.

        Errors: BadRequest 401 (no valid key) or 403 (not for this route); GuardUnavailable while
        the keys have not been read yet, so that a good key is never called unknown.
        """
        if not self._keys.loaded:
            raise GuardUnavailable(
                "The API keys cannot be read yet; try again.", retry_after_seconds=RETRY_SECONDS
            )
        if self._keys.empty:
            if is_local(headers, client):
                return Caller()
            raise BadRequest(
                "Without an API key only this machine is served; make one with "
                "`banister keys create`.",
                code="invalid_api_key",
                status=401,
            )
        key = self._keys.authenticate(presented_key(headers))
        if key is None:
            raise BadRequest(
                "The API key is missing, unknown, expired or revoked.",
                code="invalid_api_key",
                status=401,
            )
        if not key.may("infer", route):
            raise BadRequest(
                "This API key is not for this route.", code="key_not_allowed", status=403
            )
        return Caller(key.id, key.tenant)

    def admit_scrape(self, headers: Mapping[bytes, bytes], client: Sequence[object] | None) -> None:
        """Let `/metrics` be read: by this machine, or with a key whose scope is `metrics`.

        Errors: BadRequest 401 for everybody else; GuardUnavailable before the keys were read.
        """
        if is_local(headers, client):
            return
        if not self._keys.loaded:
            raise GuardUnavailable(
                "The API keys cannot be read yet; try again.", retry_after_seconds=RETRY_SECONDS
            )
        key = self._keys.authenticate(presented_key(headers))
        if key is None or not key.may("metrics"):
            raise BadRequest(
                "Metrics are for this machine, or for a key made with `banister keys create "
                "prometheus --scope metrics`.",
                code="invalid_api_key",
                status=401,
            )


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The key that a request shows: OpenAI's bearer token, Anthropic's or Azure's header."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token:
        shown = token
    else:
        shown = headers.get(b"x-api-key") or headers.get(b"api-key") or b""
    return shown.strip().decode("latin-1") or None
