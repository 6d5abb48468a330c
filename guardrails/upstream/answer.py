"""What an upstream answered: its head at once, its body as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from guardrails.upstream.client import Response

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class Answer:
    """An upstream's answer: its head is here, its body is read or iterated, by one task.

    `headers` are in lower case and without hop-by-hop ones. `attempts` counts every request that
    was sent for it. A body that is not read to its end must be closed with `aclose`.
    """

    __slots__ = ("_response", "attempts", "status", "upstream", "upstream_model")

    def __init__(self, response: Response, upstream: str, upstream_model: str) -> None:
        self._response = response
        self.status = response.status
        self.upstream = upstream
        self.upstream_model = upstream_model
        self.attempts = 1

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What may be passed on."""
        dropped = _HOP_BY_HOP
        headers = self._response.headers
        for name, value in headers:
            if name == b"connection":
                dropped = dropped | {part.strip().lower() for part in value.split(b",")}
        return [header for header in headers if header[0] not in dropped]

    async def read(self) -> bytes:
        """The whole body. Errors: UpstreamError, UpstreamTimeout when it breaks off."""
        return await self._response.read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response

    async def aclose(self) -> None:
        """Be done with it; if the upstream still answers, it sees the connection close."""
        self._response.abort()

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._response.abort()
