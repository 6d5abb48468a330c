"""What many who look ask for at once: read once in a few seconds, however many they are."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

AGE = timedelta(seconds=5)
MOST = 128


class Kept:
    """The latest answers by their question; one is read anew when it is older than AGE.

    A question must name all that its answer depends on, the visitor's tenants too. Live pages ask
    each few seconds, and must not multiply what a read costs.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._read: OrderedDict[Hashable, tuple[datetime, Any]] = OrderedDict()

    async def of(self, question: Hashable, now: datetime, read: Callable[[], Awaitable[T]]) -> T:
        """The answer, at most AGE old; who comes meanwhile waits for the same."""
        async with self._turn:
            kept = self._read.get(question)
            if kept is not None and timedelta() <= now - kept[0] < AGE:
                found: T = kept[1]
                return found
            found = await read()
            self._read[question] = (now, found)
            self._read.move_to_end(question)
            while len(self._read) > MOST:
                self._read.popitem(last=False)
            return found
