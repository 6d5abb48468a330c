"""Keeps a stream's connection open while nothing may leave: a comment, which every client skips."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

HELD = b": held\n\n"


class Heartbeat:
    """Sends a comment whenever nothing else was sent for `seconds`, from `start` to `stop`.

    Cost: one timer a stream, moved on only when it fires; a task only for each comment.
    """

    def __init__(self, write: Callable[[bytes], Awaitable[None]], seconds: float) -> None:
        self._write = write
        self._seconds = seconds
        self._sent_at = 0.0
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Future[None] | None = None

    def start(self) -> None:
        """The response has begun."""
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._timer = self._loop.call_later(self._seconds, self._look)

    async def write(self, data: bytes) -> None:
        """Send something of the stream itself."""
        self._writing = True
        try:
            await self._write(data)
        finally:
            self._writing = False
            self._sent_at = self._loop.time()

    async def stop(self) -> None:
        """Send no more comments; one that is under way is given up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
            self._beat = None

    def _look(self) -> None:
        now = self._loop.time()
        due = self._sent_at + self._seconds
        # A caller who does not read what was sent needs no comment on top of it.
        busy = self._writing or (self._beat is not None and not self._beat.done())
        if now >= due and not busy:
            self._beat = asyncio.ensure_future(self._write(HELD))
            self._sent_at = now
        later = due if now < due else now + self._seconds
        self._timer = self._loop.call_at(later, self._look)
