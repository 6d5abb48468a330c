"""Holds a stream back until its output checks have passed.

The upstream is read to its end and every event kept; after the verdict the events leave as they
came, or the policy's answer leaves in their place. Where no rule looks at the output there is
nothing to wait for, and each event is passed on at once.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

import orjson

from guardrails.errors import UpstreamError
from guardrails.types import Exchange
from guardrails.wire import sse


class Sink(Protocol):
    """Where a stream leaves for the caller."""

    async def start(self, exchange: Exchange) -> None:
        """Send the status and the headers."""
        ...

    async def write(self, data: bytes) -> None:
        """Send some of the body; waits while the caller does not read."""
        ...


class HeldStream:
    """One answer's events, from the upstream's bytes to the caller.

    Limits: `most_bytes` of events are held for one answer; more is an UpstreamError.
    """

    def __init__(self, wire: ModuleType, sink: Sink, most_bytes: int) -> None:
        self._wire = wire
        self._sink = sink
        self._most_bytes = most_bytes
        self._parser = sse.Events(most_bytes)
        self._fold = wire.Fold()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._ended = False
        self.relaying = False
        self.started = False

    async def take(self, chunk: bytes, exchange: Exchange) -> None:
        """Take in what the upstream sent; pass it on if nothing has to be checked."""
        await self._keep(
            [self._read(data, exchange) for data in self._parser.feed(chunk)], exchange
        )

    async def end(self, exchange: Exchange) -> dict[str, Any]:
        """The whole answer, once the upstream has ended.

        Errors: UpstreamError if the stream broke off before any choice had finished.
        """
        await self._keep([self._read(data, exchange) for data in self._parser.end()], exchange)
        answer: dict[str, Any] = self._fold.result()
        if not self._ended and not self._fold.ended:
            raise UpstreamError("The upstream's stream broke off before its end.")
        return answer

    async def release(self, exchange: Exchange) -> None:
        """Let go of what was held: the upstream's events, or the answer that stands for them."""
        if not self.started:
            await self._start(exchange)
        if exchange.answer is not None:
            wanted = exchange.request.get("stream_options") or {}
            chunks = self._wire.unfold(
                exchange.answer, include_usage=bool(wanted.get("include_usage"))
            )
            self._held = [self._wire.frame(chunk) for chunk in chunks]
        await self._sink.write(b"".join(self._held) + self._wire.END)

    async def fail(self, error: dict[str, Any]) -> None:
        """End a stream that has begun with an error event."""
        await self._sink.write(self._wire.frame(error))

    async def _start(self, exchange: Exchange) -> None:
        self.started = True
        await self._sink.start(exchange)

    async def _keep(self, events: list[bytes], exchange: Exchange) -> None:
        data = b"".join(events)
        if not data:
            return
        if self.relaying:
            if not self.started:
                await self._start(exchange)
            await self._sink.write(data)
            return
        self._held_bytes += len(data)
        if self._held_bytes > self._most_bytes:
            raise UpstreamError("The upstream's answer is too large.")
        self._held.append(data)

    def _read(self, data: bytes, exchange: Exchange) -> bytes:
        if data == sse.DONE:
            self._ended = True
            return b""
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise UpstreamError("The upstream sent an event that is not JSON.") from None
        if not isinstance(chunk, dict) or chunk.get("error") is not None:
            raise UpstreamError("The upstream broke its stream off with an error.")
        self._fold.add(chunk)
        # The caller sees the name that it asked for, not the endpoint's path of the weights.
        framed: bytes = self._wire.frame(self._wire.named(chunk, exchange.model))
        return framed
