"""How the proxy asks the inference worker, cheaply and without ever waiting for a dead one.

All requests share one connection, numbered, so that any number may be under way. Whatever goes
wrong is a GuardUnavailable, at once: the worker away, gone in the middle, overloaded, too late, or
the detector itself at fault. The next request connects anew.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from guardrails.errors import GuardUnavailable
from guardrails.inference.protocol import (
    Cancel,
    Describe,
    Described,
    Embed,
    Embeddings,
    FrameReader,
    FrameTooLarge,
    Loaded,
    Refused,
    Reply,
    Request,
    Score,
    Scored,
    Scores,
    decode_reply,
    encode,
)
from guardrails.inference.turns import Turns

# How much of its time a new request may wait for its turn, so that some is left for the check.
_WAIT_SHARE = 0.5

__all__ = ["InferenceClient", "Loaded", "Scored"]

_RETRY_AFTER_SECONDS = 1
_UNSENT_BYTES = 16 * 2**20
_DESCRIBE_SECONDS = 5.0


class InferenceClient:
    """Asks one worker. Belongs to one event loop; many tasks may use it at once.

    Cost: about 0.1 ms of CPU for a score of two texts, the worker's time apart.
    """

    def __init__(self, socket_path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = str(socket_path)
        self._now = now
        self._ids = itertools.count(1)
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._closed = False
        self._turns = Turns()

    async def describe(self, *, timeout_seconds: float = _DESCRIBE_SECONDS) -> dict[str, Loaded]:
        """The detectors by name. Errors: GuardUnavailable until every one has run once."""
        number = next(self._ids)
        reply = await self._ask(Describe(number), timeout_seconds)
        if isinstance(reply, Described):
            return reply.detectors
        raise _unavailable("The inference worker gave an answer to another question.")

    async def score(
        self,
        detector: str,
        texts: Sequence[str],
        *,
        timeout_seconds: float,
        begun: bool = False,
    ) -> Scored:
        """The scores of `texts`, the highest over each text's windows. Errors: GuardUnavailable.

        `begun`: they are of an answer, and go before the texts of new requests.
        """
        expires_at = self._now() + timeout_seconds
        wait = timeout_seconds if begun else timeout_seconds * _WAIT_SHARE
        async with self._turns.turn(len(texts), begun=begun, seconds=wait):
            score = Score(next(self._ids), detector, tuple(texts), expires_at)
            reply = await self._ask(score, max(expires_at - self._now(), 0))
        if isinstance(reply, Scores):
            return reply.scored
        raise _unavailable("The inference worker gave an answer to another question.")

    async def embed(self, texts: Sequence[str], *, timeout_seconds: float) -> list[list[float]]:
        """One L2-normalised vector a text, in the texts' order. Errors: GuardUnavailable."""
        number = next(self._ids)
        expires_at = self._now() + timeout_seconds
        reply = await self._ask(Embed(number, tuple(texts), expires_at), timeout_seconds)
        if isinstance(reply, Embeddings):
            return reply.vectors
        raise _unavailable("The inference worker gave an answer to another question.")

    async def close(self) -> None:
        """Leave; whoever still waits gets GuardUnavailable."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()

    async def _ask(self, request: Request, timeout_seconds: float) -> Reply:
        try:
            frame = encode(request)
        except FrameTooLarge as error:
            raise _unavailable("The texts are too long for one inference request.") from error
        try:
            async with asyncio.timeout(timeout_seconds):
                connection = self._connection
                if connection is None or connection.lost:
                    connection = await self._connect()
                reply = await connection.ask(request.id, frame)
        except TimeoutError as error:
            raise _unavailable(
                f"The inference worker did not answer within {timeout_seconds:.2g} s."
            ) from error
        if isinstance(reply, Refused):
            raise _unavailable(reply.message)
        return reply

    async def _connect(self) -> _Connection:
        if self._closed:
            raise _unavailable("The inference client is closed.")
        # One attempt serves all who wait; none of them may cancel it for the others.
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(_retrieve)
        try:
            return await asyncio.shield(self._connecting)
        except OSError as error:
            raise _unavailable("The inference worker is not running.") from error
        except asyncio.CancelledError:
            if self._closed:
                raise _unavailable("The inference client is closed.") from None
            raise

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(_Connection, self._path)
        self._connection = connection
        return connection


class _Connection(asyncio.Protocol):
    """One connection and those who wait on it."""

    def __init__(self) -> None:
        self.lost = False
        self._full = False
        self._frames = FrameReader()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}

    async def ask(self, number: int, frame: bytes) -> Reply:
        """The reply to one request. A cancelled asker tells the worker to drop it."""
        if self.lost:
            raise _unavailable("The inference worker went away.")
        if self._full:
            raise _unavailable("The inference worker is overloaded.")
        waiter = self._loop.create_future()
        self._waiting[number] = waiter
        self._transport.write(frame)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not self.lost:
                self._transport.write(encode(Cancel(number)))
            raise
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        self.lost = True
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                reply = decode_reply(body)
                waiter = self._waiting.get(reply.id)
                # An answer that nobody waits for any more was overtaken by a timeout or a cancel.
                if waiter is not None and not waiter.done():
                    waiter.set_result(reply)
        except (FrameTooLarge, msgspec.DecodeError):
            self._transport.abort()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(_unavailable("The inference worker went away."))


def _unavailable(message: str) -> GuardUnavailable:
    return GuardUnavailable(message, retry_after_seconds=_RETRY_AFTER_SECONDS)


def _retrieve(task: asyncio.Task[_Connection]) -> None:
    # Whoever waited may have been cancelled; the attempt's failure is then nobody's.
    if not task.cancelled():
        task.exception()
