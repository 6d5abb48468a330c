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


class _Answer:
    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.read: tuple[datetime, Any] | None = None


class Kept:
    """The latest answers by their question; one is read anew when it is older than AGE.

    A question must name all that its answer depends on, the visitor's tenants too. Live pages ask
    each few seconds, and must not multiply what a read costs.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()

    async def of(self, question: Hashable, now: datetime, read: Callable[[], Awaitable[T]]) -> T:
        """The answer, at most AGE old; who comes meanwhile with the same question waits for it."""
        answer = self._answers.setdefault(question, _Answer())
        self._answers.move_to_end(question)
        while len(self._answers) > MOST:
            self._answers.popitem(last=False)
        # A lock of its own: a month's read must not hold up everybody's overview.
        async with answer.turn:
            if answer.read is not None and timedelta() <= now - answer.read[0] < AGE:
                kept: T = answer.read[1]
                return kept
            found = await read()
            answer.read = (now, found)
            return found
