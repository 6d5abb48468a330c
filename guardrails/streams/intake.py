"""How do an upstream's bytes become events, and the answer that is recorded?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import orjson
from msgspec import Struct

from guardrails.errors import UpstreamError
from guardrails.wire import sse
from guardrails.wire.pointers import Pointer

_PASSED_AT_ONCE = 64


class Read(Struct):
    """One event, under the model name that the caller asked for, and its size in bytes."""

    body: dict[str, Any]
    size: int


class Intake:
    """One upstream's stream. Errors: UpstreamError for a stream that is none, or breaks off."""

    def __init__(self, wire: ModuleType, most_bytes: int) -> None:
        self._wire = wire
        self._parser = sse.Events(most_bytes)
        self._fold = wire.Fold()
        self._passed: list[bytes] = []
        self._unchanged = False
        self._done = False

    def feed(self, chunk: bytes, model: str) -> Iterator[Read]:
        """The events that this chunk completes."""
        self._catch_up()
        return self._events(self._parser.feed(chunk), model)

    def end(self, model: str) -> Iterator[Read]:
        """What a stream that has come to its end still held."""
        self._catch_up()
        yield from self._events(self._parser.end(), model)
        if not self._done and not self._fold.ended:
            raise UpstreamError("The upstream's stream broke off before its end.")

    def pass_by(self, chunk: bytes) -> bool:
        """Whether this chunk may go to the caller as it is; it is then put together later.

        So it is where events are not changed, and none in it may be an error or the last: that is
        read before it leaves.
        """
        plain = self._unchanged and not self._parser.holds
        if not plain or chunk[-3:] != b"}\n\n" or b'"error"' in chunk or sse.DONE in chunk:
            return False
        self._passed.append(chunk)
        if len(self._passed) == _PASSED_AT_ONCE:
            self._catch_up()
        return True

    def result(self) -> dict[str, Any]:
        """The whole answer so far."""
        self._catch_up()
        answer: dict[str, Any] = self._fold.result()
        return answer

    def place(self, pointer: Pointer) -> Pointer:
        """Where the text of a lane stands in that answer."""
        # Where a text is said twice, or by an event that is no part of the answer, the fold knows.
        found: Pointer = self._fold.place(pointer) if hasattr(self._fold, "place") else pointer
        return found

    def _events(self, read: Iterable[bytes], model: str) -> Iterator[Read]:
        for data in read:
            given = self._add(data)
            if given is not None:
                # The caller sees the name that it asked for, not where the weights are kept.
                body = self._wire.named(given, model)
                self._unchanged = body is given
                yield Read(body, len(data))

    def _add(self, data: bytes) -> dict[str, Any] | None:
        if data == sse.DONE:
            self._done = True
            return None
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise UpstreamError("The upstream sent an event that is not JSON.") from None
        if not isinstance(body, dict) or body.get("error") is not None:
            raise UpstreamError("The upstream broke its stream off with an error.")
        self._fold.add(body)
        return body

    def _catch_up(self) -> None:
        if self._passed:
            passed, self._passed = b"".join(self._passed), []
            for data in self._parser.feed(passed):
                self._add(data)
