"""Whose texts go to the worker next, where it has as many as it can use?

What the worker holds is kept short, so that the order is made here, where it is known who waits for
what: texts of an answer that has begun go before those of a request that has not. So under overload
begun streams come to their end, and new requests wait in front of the door, where nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from guardrails.errors import GuardUnavailable

MOST_TEXTS = 64
"""A few batches for each of the worker's threads: enough that none of them is ever idle."""


class _Waiter(NamedTuple):
    texts: int
    called: asyncio.Future[None]


class Turns:
    """The texts that are with the worker, and those who wait for a turn. Belongs to one event loop.

    Limits: a turn is given while fewer than `most_texts` are out, whatever its own number is.
    """

    def __init__(self, most_texts: int = MOST_TEXTS) -> None:
        self._most = most_texts
        self._out = 0
        self._begun: deque[_Waiter] = deque()
        self._new: deque[_Waiter] = deque()

    @asynccontextmanager
    async def turn(self, texts: int, *, begun: bool, seconds: float) -> AsyncIterator[None]:
        """Hold a turn for so many texts. Errors: GuardUnavailable where none came in `seconds`."""
        if self._out < self._most and not self._begun and (begun or not self._new):
            self._out += texts
        else:
            await self._wait(texts, self._begun if begun else self._new, seconds)
        try:
            yield
        finally:
            self._give_back(texts)

    async def _wait(self, texts: int, queue: deque[_Waiter], seconds: float) -> None:
        waiter = _Waiter(texts, asyncio.get_running_loop().create_future())
        queue.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter.called
        except BaseException as error:
            if waiter in queue:
                queue.remove(waiter)
            elif not waiter.called.cancelled():
                # The turn came at the same moment, and is somebody else's now.
                self._give_back(texts)
            if isinstance(error, TimeoutError):
                message = "The inference worker is overloaded."
                raise GuardUnavailable(message, retry_after_seconds=1) from None
            raise

    def _give_back(self, texts: int) -> None:
        self._out -= texts
        while self._out < self._most and (queue := self._begun or self._new):
            waiter = queue.popleft()
            if not waiter.called.done():
                self._out += waiter.texts
                waiter.called.set_result(None)
