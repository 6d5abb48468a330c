"""Which spools does this process write to Postgres, and how far has it come with each?

Its own, which it fills at the same time, and those that dead processes left. Reading follows what
is on disk, not what is in memory, so memory stays flat however long Postgres is away.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guardrails.exchange_log.insert import BATCH_RECORDS, Batch, Inserter
from guardrails.exchange_log.spool import Spool
from guardrails.exchange_log.spool_directory import DAMAGED, Claim, adopt, create
from guardrails.exchange_log.spool_reader import SpoolReader

ADOPT_SECONDS = 5.0
LINGER_SECONDS = 0.01
MARK_SECONDS = 0.5
MOST_MARKS = 200_000


@dataclass(slots=True, eq=False)
class _Source:
    claim: Claim
    reader: SpoolReader | None = None
    position: int = 0
    lost: int = 0


class Spools:
    """Our own spool, if we `record` at all, and every orphan under `root` that we could take.

    `on_written` is called in the event loop whenever more is on disk.
    """

    def __init__(
        self,
        root: Path,
        *,
        most_bytes: int,
        durable: bool,
        record: bool = True,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self._root = root
        self._most_bytes = most_bytes
        self._linger_seconds = 0.0 if durable else LINGER_SECONDS
        self._record = record
        self._on_written = on_written
        self._own: _Source | None = None
        self._orphans: deque[_Source] = deque()
        self._swept_at = float("-inf")
        self._turn = 0
        self._marks: deque[tuple[int, float]] = deque(maxlen=MOST_MARKS)
        self.spool: Spool | None = None
        self._lost = self._damaged_bytes = 0

    async def start(self) -> None:
        """Make our own spool and take the orphans. Errors: OSError."""
        if self._record:
            claim = await asyncio.to_thread(create, self._root)
            self.spool = Spool(
                claim.path,
                most_bytes=self._most_bytes,
                linger_seconds=self._linger_seconds,
                on_written=self._written,
            )
            self._own = _Source(claim, self._reader(claim, 0, self.spool))
            self.spool.start()
        await self._adopt()

    @property
    def behind(self) -> int:
        """Records of our own spool that are on disk and not in Postgres."""
        if self.spool is None or self._own is None:
            return 0
        return self.spool.end.number - self._own.position

    @property
    def waiting(self) -> int:
        """`behind`, and what is not on disk yet."""
        return self.behind + (self.spool.pending if self.spool is not None else 0)

    @property
    def held_bytes(self) -> int:
        """What our own spool and the orphans take on disk."""
        return self.spool.held_bytes + self.spool.others if self.spool is not None else 0

    @property
    def orphans(self) -> int:
        """Spools of dead processes that are not written yet."""
        return len(self._orphans)

    @property
    def lost(self) -> int:
        """Records that were damaged on disk, and are nowhere."""
        return self._lost + sum(reader.lost for reader in self._readers)

    @property
    def damaged_bytes(self) -> int:
        """Bytes that were no record: of lost ones, and of those that a crash cut off unanswered."""
        return self._damaged_bytes + sum(reader.damaged_bytes for reader in self._readers)

    @property
    def trouble(self) -> str | None:
        """Why nothing should be begun that must be recorded."""
        return self.spool.trouble if self.spool is not None else "there is no spool"

    @property
    def work(self) -> bool:
        """Whether there is something to take."""
        return bool(self.behind or self._orphans)

    @property
    def full_batch(self) -> bool:
        """Whether lingering would gain nothing."""
        return self.behind >= BATCH_RECORDS or bool(self._orphans)

    def put(self, line: bytes) -> bool:
        """Take a line without waiting; False where there is no room."""
        return self.spool is not None and self.spool.put(line)

    async def keep(self, line: bytes) -> bool:
        """Take a line; where this is to be `durable`, return once it is on disk."""
        if self.spool is None or self._linger_seconds:
            return self.put(line)
        return await self.spool.keep(line)

    @property
    def lag_seconds(self) -> float:
        """How long the oldest record of ours has waited, to half a second."""
        return time.monotonic() - self._marks[0][1] if self._marks else 0.0

    @property
    def due_seconds(self) -> float:
        """When to call `sweep` next."""
        return max(0.0, self._swept_at + ADOPT_SECONDS - time.monotonic())

    async def sweep(self, inserter: Inserter) -> None:
        """Take what has become an orphan, and learn how far each was written."""
        if not self.due_seconds:
            await self._adopt()
        new = [source for source in self._orphans if source.reader is None]
        if new:
            known = await inserter.positions([source.claim.id for source in new])
            for source in new:
                source.position = known[source.claim.id]
                source.reader = self._reader(source.claim, source.position, None)

    async def take(self, inserter: Inserter) -> Batch | None:
        """The next records of one spool, ours and the orphans' in turn; None where none is left.

        An orphan that is empty is deleted.
        """
        # Also after a failure: a spool that cannot be read must not stop the others.
        self._turn += 1
        for own in (True, False) if self._turn % 2 else (False, True):
            source = self._own if own else (self._orphans[0] if self._orphans else None)
            if source is None or source.reader is None or (own and not self.behind):
                continue
            records = await asyncio.to_thread(source.reader.read)
            if records:
                lost = source.reader.lost - source.lost
                source.lost = source.reader.lost
                return Batch(records, source.claim.id, lost)
            if own:
                # All that was left is damaged: it is passed over.
                await self._moved(source, source.reader.number)
            else:
                self._orphans.popleft()
                await self._remove(source, inserter)
        return None

    async def done(self, batch: Batch, count: int) -> None:
        """The first `count` records of a batch are in Postgres."""
        position = batch.records[count - 1][0]
        for source in (self._own, *self._orphans):
            if source is not None and source.claim.id == batch.spool:
                await self._moved(source, position)
        del batch.records[:count]

    async def flush(self) -> None:
        """Take no more, and see that all that was taken is on disk."""
        if self.spool is not None:
            await self.spool.close()

    async def close(self, inserter: Inserter) -> None:
        """Let go: of an empty spool nothing stays, of another all, for whoever comes next."""
        for source in self._orphans:
            source.claim.release()
        self._orphans.clear()
        own = self._own
        if own is None or self.spool is None:
            return
        if self.spool.end.number == own.position:
            await self._remove(own, inserter)
        else:
            own.claim.release()

    @property
    def _readers(self) -> list[SpoolReader]:
        sources = [self._own, *self._orphans]
        return [s.reader for s in sources if s is not None and s.reader is not None]

    def _reader(self, claim: Claim, position: int, spool: Spool | None) -> SpoolReader:
        end = (lambda: spool.end) if spool is not None else None
        damaged = self._root / DAMAGED
        return SpoolReader(claim.path, position=position, end=end, damaged=damaged)

    async def _adopt(self) -> None:
        self._swept_at = time.monotonic()
        for claim in await asyncio.to_thread(adopt, self._root):
            self._orphans.append(_Source(claim))
        if self.spool is not None:
            self.spool.others = await asyncio.to_thread(self._orphans_bytes)

    def _orphans_bytes(self) -> int:
        return sum(SpoolReader(source.claim.path).held_bytes() for source in list(self._orphans))

    async def _moved(self, source: _Source, position: int) -> None:
        source.position = position
        if source is self._own:
            self._pass_marks(position)
        assert source.reader is not None  # noqa: S101  mypy
        freed = await asyncio.to_thread(source.reader.written, position)
        if self.spool is None:
            return
        if source is self._own:
            self.spool.freed(freed)
        else:
            self.spool.others -= freed

    async def _remove(self, source: _Source, inserter: Inserter) -> None:
        if source.reader is not None and source is not self._own:
            self._lost += source.reader.lost
            self._damaged_bytes += source.reader.damaged_bytes
        left = await asyncio.to_thread(SpoolReader(source.claim.path).held_bytes)
        await asyncio.to_thread(source.claim.remove)
        if self.spool is not None and source is not self._own:
            self.spool.others = max(0, self.spool.others - left)
        await inserter.forget(source.claim.id)

    def _pass_marks(self, position: int) -> None:
        since = time.monotonic()
        while self._marks and self._marks[0][0] <= position:
            since = self._marks.popleft()[1]
        if self.behind and not self._marks and self.spool is not None:
            # What came soon after the last mark has none of its own.
            self._marks.append((self.spool.end.number, since))

    def _written(self) -> None:
        assert self.spool is not None  # noqa: S101  mypy
        number, now = self.spool.end.number, time.monotonic()
        if self.behind and (not self._marks or now - self._marks[-1][1] >= MARK_SECONDS):
            self._marks.append((number, now))
        self._on_written()
