"""What a span of time held: counted once in a few seconds, however many look at it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import datetime, timedelta

from dashboards.filters import Filters
from dashboards.scoped import ScopedLog
from guardrails.exchange_log.rollups import Overview
from monitoring.types import Window

KEPT = timedelta(seconds=5)
MOST = 64

_Key = tuple[int, Window, Filters, tuple[str, ...] | None]


class Summaries:
    """The latest summaries; one is made anew when it is older than KEPT.

    Cost: some ten milliseconds. Live pages ask each few seconds, and must not multiply it.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._made: OrderedDict[_Key, tuple[datetime, Overview]] = OrderedDict()

    async def of(
        self, log: ScopedLog, window: Window, step: timedelta, filters: Filters, now: datetime
    ) -> Overview:
        """The summary, at most KEPT old; who comes meanwhile waits for the same."""
        key = (id(log.connection.engine), window, filters, log.tenants)
        async with self._turn:
            kept = self._made.get(key)
            if kept is not None and timedelta() <= now - kept[0] < KEPT:
                return kept[1]
            found = await log.overview(window, step, filters)
            self._made[key] = (now, found)
            self._made.move_to_end(key)
            while len(self._made) > MOST:
                self._made.popitem(last=False)
            return found
