"""What the last day held: counted once in a few seconds, however many look at it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.rollups import overview
from guardrails.exchange_log.rows import Bucket, Totals
from monitoring.types import Window

KEPT = timedelta(seconds=5)


class Summary(Struct, frozen=True):
    """The counts of one window, its series, and how many exchanges reached a model."""

    window: Window
    totals: Totals
    buckets: tuple[Bucket, ...]
    reached: int


class Summaries:
    """The latest summary; a new one is made for another window, or when it is older than KEPT.

    Cost: some ten milliseconds. Live pages ask each few seconds, and must not multiply it.
    """

    def __init__(self, step: timedelta) -> None:
        self._step = step
        self._turn = asyncio.Lock()
        self._made: tuple[datetime, Summary] | None = None

    async def of(self, connection: AsyncConnection, window: Window, now: datetime) -> Summary:
        """The summary of a window, at most KEPT old; who comes meanwhile waits for the same."""
        async with self._turn:
            if self._made is not None:
                at, summary = self._made
                if summary.window == window and now - at < KEPT:
                    return summary
            found = await overview(connection, window.start, window.end, self._step)
            summary = Summary(window, found.totals, found.buckets, found.reached)
            self._made = (now, summary)
            return summary
