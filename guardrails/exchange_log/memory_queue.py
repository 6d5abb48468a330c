"""How do records wait for Postgres in mode `memory`, bounded, and gone with the process?"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from guardrails.exchange_log.insert import BATCH_BYTES, BATCH_RECORDS, Batch, Inserter

SPARE_SHARE = 0.1


class MemoryQueue:
    """Up to `most_records` lines and `most_bytes`; from nine tenths on `trouble` says so."""

    def __init__(self, most_records: int, most_bytes: int, on_more: Callable[[], None]) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._on_more = on_more
        self._queue: deque[tuple[float, bytes]] = deque()
        self._taken: list[float] = []
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """Records that are not in Postgres."""
        return len(self._queue) + len(self._taken)

    @property
    def full_batch(self) -> bool:
        """Whether lingering would gain nothing."""
        return len(self._queue) >= BATCH_RECORDS or self._bytes >= BATCH_BYTES

    @property
    def work(self) -> bool:
        """Whether there is something to take."""
        return bool(self._queue)

    @property
    def lag_seconds(self) -> float:
        """How long the oldest record has waited."""
        oldest = self._taken[0] if self._taken else self._queue[0][0] if self._queue else None
        return time.monotonic() - oldest if oldest is not None else 0.0

    @property
    def trouble(self) -> str | None:
        """Why nothing should be begun that must be recorded."""
        share = 1 - SPARE_SHARE
        if self.waiting < self._most_records * share and self._bytes < self._most_bytes * share:
            return None
        return "Postgres is away and the queue is full"

    def put(self, line: bytes) -> bool:
        """Take a line without waiting; False where there is no room."""
        if self.waiting >= self._most_records or self._bytes >= self._most_bytes:
            return False
        self._queue.append((time.monotonic(), line))
        self._bytes += len(line)
        self._on_more()
        return True

    async def keep(self, line: bytes) -> bool:
        """As `put`: memory is as safe as this queue gets."""
        return self.put(line)

    async def take(self, inserter: Inserter) -> Batch | None:
        """The next batch; None where nothing waits."""
        records: list[tuple[int, bytes]] = []
        size = 0
        while self._queue and len(records) < BATCH_RECORDS and size < BATCH_BYTES:
            since, line = self._queue.popleft()
            self._taken.append(since)
            records.append((0, line))
            size += len(line)
        return Batch(records) if records else None

    async def done(self, batch: Batch, count: int) -> None:
        """The first `count` records of a batch are in Postgres."""
        self._bytes -= sum(len(line) for _, line in batch.records[:count])
        del batch.records[:count], self._taken[:count]

    def clear(self) -> int:
        """Give up on all that waits; how many records that were."""
        count = self.waiting
        self._queue.clear()
        self._taken.clear()
        self._bytes = 0
        return count
