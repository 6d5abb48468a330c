"""What the last day held: counted once in a few seconds, however many look at it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.query import Bucket, Totals, per_bucket, totals
from monitoring.frames import reached
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

    Cost: a scan of the window's rows. Live pages ask each few seconds, and must not multiply it.
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
            summary = Summary(
                window,
                await totals(connection, window.start, window.end),
                tuple(await per_bucket(connection, window.start, window.end, self._step)),
                await reached(connection, window),
            )
            self._made = (now, summary)
            return summary
