"""How is a request said to an upstream that does not speak the caller's protocol?

The caller's protocol is what is checked, recorded and answered; a translation stands only between
it and the upstream. A model may be served by endpoints of both kinds, so it is picked per attempt.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, Protocol

import orjson

from guardrails.errors import BadRequest, UpstreamError
from guardrails.settings import UpstreamSettings
from guardrails.types import Exchange
from guardrails.wire import sse

_STREAMED: dict[str, dict[str, Any]] = {
    "openai": {"stream": True, "stream_options": {"include_usage": True}},
    "anthropic": {"stream": True},
}


class Events(Protocol):
    """One upstream's stream, event by event, in the caller's protocol."""

    def add(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events that one of the upstream's events makes."""
        ...

    def end(self) -> Iterator[dict[str, Any]]:
        """The events that the end of the upstream's stream makes."""
        ...


class Translation(Protocol):
    """One protocol said in another."""

    PATH: str

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The upstream's request for part `number` of the caller's. Errors: BadRequest."""
        ...

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is an answer at all."""
        ...

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The caller's answer from the upstream's, one for each part."""
        ...

    def events(self, exchange: Exchange) -> Events:
        """What translates one stream."""
        ...

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """The upstream's error in the caller's envelope."""
        ...


class Through:
    """One translation after another: chat is what the other protocols can be said in."""

    def __init__(self, first: Translation, then: Translation) -> None:
        self._first, self._then = first, then
        self.PATH = then.PATH
        self.HEADERS = getattr(then, "HEADERS", ())

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The upstream's request. Errors: BadRequest."""
        return self._then.request(self._first.request(body, number), 0)

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is an answer at all."""
        return self._then.is_answer(answer)

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The caller's answer."""
        return self._first.answer([self._then.answer([a], exchange) for a in answers], exchange)

    def events(self, exchange: Exchange) -> Events:
        """What translates one stream."""
        return _ThroughEvents(self._first.events(exchange), self._then.events(exchange))

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """The upstream's error in the caller's envelope."""
        return self._first.error(self._then.error(body, exchange), exchange)


class _ThroughEvents:
    def __init__(self, first: Events, then: Events) -> None:
        self._first, self._then = first, then

    def add(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for told in self._then.add(event):
            yield from self._first.add(told)

    def end(self) -> Iterator[dict[str, Any]]:
        for told in self._then.end():
            yield from self._first.add(told)
        yield from self._first.end()


class Spoken:
    """One exchange's request as each upstream hears it, and what comes back."""

    def __init__(self, exchange: Exchange, wire: ModuleType) -> None:
        self._exchange = exchange
        self._wire = wire
        self._prompt = exchange.prompt or {}
        self._by_upstream: dict[str, Translation | None] = {}
        self.parts: int = wire.parts(self._prompt) if hasattr(wire, "parts") else 1

    def path(self, upstream: UpstreamSettings) -> str:
        """Where the request goes. Errors: BadRequest (404) if it cannot be said there."""
        translation = self._translation(upstream)
        path: str = self._wire.PATH if translation is None else translation.PATH
        return path

    def headers(
        self, given: Sequence[tuple[bytes, bytes]]
    ) -> Callable[[UpstreamSettings], Sequence[tuple[bytes, bytes]]]:
        """What says which of the caller's headers, or of the translation's, go to an upstream."""

        def of(upstream: UpstreamSettings) -> Sequence[tuple[bytes, bytes]]:
            translation = self._translation(upstream)
            return given if translation is None else getattr(translation, "HEADERS", ())

        return of

    def encoder(self, number: int) -> Callable[[UpstreamSettings], bytes]:
        """What makes the body of part `number` for the upstream that is picked."""

        def encode(upstream: UpstreamSettings) -> bytes:
            translation = self._translation(upstream)
            body = self._prompt
            if translation is not None:
                body = translation.request(body, number)
                if self._exchange.stream:
                    body |= _STREAMED[upstream.speaks]
            return orjson.dumps({**body, "model": upstream.served_as or upstream.model})

        return encode

    def reader(self, upstream: str) -> ModuleType | Translation:
        """Whose `is_answer` knows the upstream's body."""
        return self._by_upstream.get(upstream) or self._wire

    def answer(self, upstream: str, bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The answer in the caller's protocol."""
        translation = self._by_upstream.get(upstream)
        return bodies[0] if translation is None else translation.answer(bodies, self._exchange)

    def error(
        self, upstream: str, body: dict[str, Any], exchange: Exchange
    ) -> dict[str, Any] | None:
        """The upstream's own words about what went wrong, in the caller's envelope."""
        translation = self._by_upstream.get(upstream)
        return body if translation is None else translation.error(body, exchange)

    def chunks(self, upstream: str, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """A stream's bytes in the caller's protocol, as they come."""
        translation = self._by_upstream.get(upstream)
        if translation is None:
            return aiter(chunks)
        return _translated(chunks, translation.events(self._exchange), self._wire.frame)

    def _translation(self, upstream: UpstreamSettings) -> Translation | None:
        wire, kind = self._wire, upstream.speaks
        if kind == getattr(wire, "SPEAKS", "openai"):
            translation = None
        else:
            translation = getattr(wire, "TRANSLATIONS", {}).get(kind)
            if translation is None:
                raise BadRequest(
                    f"This model's endpoint speaks {kind}'s protocol, which knows no {wire.PATH}.",
                    code="not_found",
                    status=404,
                )
        self._by_upstream[upstream.name] = translation
        return translation


async def _translated(
    chunks: AsyncIterable[bytes], events: Events, frame: Callable[[dict[str, Any]], bytes]
) -> AsyncIterator[bytes]:
    parser = sse.Events()

    def said(read: Iterable[bytes]) -> bytes:
        heard = (_parsed(data) for data in read if data != sse.DONE)
        return b"".join(frame(told) for event in heard for told in events.add(event))

    async for chunk in chunks:
        if data := said(parser.feed(chunk)):
            yield data
    yield said(parser.end()) + b"".join(frame(event) for event in events.end())


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        event = None
    if not isinstance(event, dict):
        raise UpstreamError("The upstream sent an event that is not JSON.")
    if event.get("error") is not None:
        raise UpstreamError("The upstream broke its stream off with an error.")
    return event
