"""How do exchanges come into Postgres without a request ever waiting for it?

append, keep ─▶ one line of JSON ─┬▶ spool on disk ─┬▶ batch ─▶ one INSERT that unpacks it in SQL
(event loop, µs)                  └▶ queue (memory) ┘  (background task, one connection)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psycopg
from msgspec import Struct

from guardrails.errors import ConfigError, LogUnavailable
from guardrails.exchange_log.insert import Batch, Inserter
from guardrails.exchange_log.memory_queue import MemoryQueue
from guardrails.exchange_log.record import encode, mend
from guardrails.exchange_log.spools import Spools
from guardrails.types import Exchange

logger = logging.getLogger(__name__)

QUEUE_BYTES = 256 * 2**20
SPOOL_BYTES = 8 * 2**30
LINGER_SECONDS = 0.05
BACKOFF_SECONDS = (0.1, 5.0)
COMPLAINT_SECONDS = 10.0
MENDING_AT_ONCE = 1_000
HOPELESS_SECONDS = 0.5

Mode = Literal["durable", "fast", "memory"]


class Stats(Struct, frozen=True):
    """What the log has done since its start; `lag_seconds` is the age of the oldest unwritten.

    `dropped` records are lost, and `rejected` ones stand in `rejected_records` with their error.
    `mended` ones had something that Postgres cannot hold, or were too long. `refused` exchanges
    were answered with an error because they could not be recorded. `lost` records were damaged on
    disk; `damaged_bytes` also counts what a crash cut off, which nobody had been answered for.
    `trouble` says why nothing more can be recorded; `orphans` are spools of dead processes.
    """

    queued: int
    written: int
    dropped: int
    rejected: int
    mended: int
    lag_seconds: float
    last_error: str | None
    mode: Mode
    refused: int
    lost: int
    damaged_bytes: int
    spool_bytes: int
    orphans: int
    trouble: str | None


class ExchangeLog:
    """Takes exchanges at once and writes them to Postgres in batches, each once.

    `durable`: `keep` returns when the record is on disk. `fast`: it is there within 50 ms.
    `memory`: up to `queue_records` records (and `queue_bytes`) wait in memory while Postgres is
    away; `directory` is then only looked through for what other modes left.

    Where nothing more can be taken, `refuse` decides: `keep` raises LogUnavailable, or the exchange
    is dropped, counted, and said in the process's log. Idempotent by the exchange's id.
    """

    def __init__(
        self,
        url: str,
        queue_records: int,
        *,
        queue_bytes: int = QUEUE_BYTES,
        mode: Mode = "memory",
        directory: Path | None = None,
        spool_bytes: int = SPOOL_BYTES,
        refuse: bool = False,
        seal: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._mode: Mode = mode
        self._refuse, self._seal = refuse, seal
        self._inserter = Inserter(url, self._rejected_one)
        self._spools: Spools | None = None
        if directory is not None:
            self._spools = Spools(
                directory,
                most_bytes=spool_bytes,
                durable=mode == "durable",
                record=mode != "memory",
                on_written=self._more,
            )
        self._memory = MemoryQueue(queue_records, queue_bytes, self._more)
        self._intake: MemoryQueue | Spools = self._memory
        if mode != "memory":
            if self._spools is None:
                raise ConfigError("The exchange log needs a directory for its spool.")
            self._intake = self._spools
        self._mending: set[asyncio.Task[bool]] = set()
        self._batch = Batch([])
        self._known: dict[tuple[str, str], tuple[str, str]] = {}
        self._wake = asyncio.Event()
        self._idle, self._stopping = True, False
        self._task: asyncio.Task[None] | None = None
        self._written = self._dropped = self._rejected = self._mended = self._refused = 0
        self._last_error: str | None = None
        self._failing = False
        self._complained_at = float("-inf")

    @property
    def stats(self) -> Stats:
        """The counts as they stand now. Cost: a few microseconds."""
        spools = self._spools
        return Stats(
            queued=self._waiting,
            written=self._written,
            dropped=self._dropped,
            rejected=self._rejected,
            mended=self._mended,
            lag_seconds=self._intake.lag_seconds,
            last_error=self._last_error,
            mode=self._mode,
            refused=self._refused,
            lost=spools.lost if spools is not None else 0,
            damaged_bytes=spools.damaged_bytes if spools is not None else 0,
            spool_bytes=spools.held_bytes if spools is not None else 0,
            orphans=spools.orphans if spools is not None else 0,
            trouble=self._intake.trouble,
        )

    @property
    def trouble(self) -> str | None:
        """Why nothing should be begun that must be recorded; None when all is well."""
        return self._intake.trouble

    def admit(self) -> None:
        """Let an exchange begin. Errors: LogUnavailable where it could not be recorded.

        Cost: a microsecond.
        """
        if self.refuses:
            self._refused += 1
            raise self._unavailable()

    @property
    def refuses(self) -> bool:
        """Whether nothing is served, since nothing can be recorded."""
        return self._refuse and self._intake.trouble is not None

    async def start(self) -> None:
        """Begin to write. Postgres may still be away: it is tried until it comes.

        Errors: ConfigError where the spool's directory cannot be used.
        """
        self._stopping = False
        if self._spools is not None:
            try:
                await self._spools.start()
            except OSError as error:
                raise ConfigError(
                    f"The exchange log cannot use its spool directory: {error}. Set "
                    "BANISTER_LOG_SPOOL, or BANISTER_LOG_MODE=memory."
                ) from error
        self._task = asyncio.create_task(self._write_until_stopped(), name="exchange-log")

    async def keep(self, exchange: Exchange) -> bool:
        """Take one exchange; in mode `durable`, return once it is on disk.

        False when it was dropped. Errors: LogUnavailable instead, where the log is to refuse.
        """
        line = encode(exchange)
        if line is not None:
            kept = await self._intake.keep(self._seal(line))
        else:
            mending = self._mend_later(exchange)
            # Who waits may be cancelled; the record may not.
            kept = mending is not None and await asyncio.shield(mending)
        if kept:
            return True
        if self._refuse:
            self._refused += 1
            raise self._unavailable()
        self._drop(1)
        return False

    def append(self, exchange: Exchange) -> bool:
        """Take one exchange without waiting; False when it was dropped for want of room.

        Cost: one encoding, about 10 µs for a chat of some kilobytes.
        """
        line = encode(exchange)
        if line is not None:
            taken = self._intake.put(self._seal(line))
        else:
            mending = self._mend_later(exchange)
            taken = mending is not None
            if mending is not None:
                mending.add_done_callback(self._drop_if_not_kept)
        if not taken:
            self._drop(1)
        return taken

    async def stop(self, drain_seconds: float = 10.0) -> None:
        """Write what is waiting, for at most `drain_seconds`.

        What then remains stays in the spool for whoever comes next; in memory it is dropped.
        """
        if self._spools is not None:
            if self._mending:
                await asyncio.wait(self._mending, timeout=drain_seconds)
            await self._spools.flush()
            if self._failing and self._mode != "memory":
                drain_seconds = min(drain_seconds, HOPELESS_SECONDS)
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, drain_seconds)
            self._task = None
        for task in self._mending:
            task.cancel()
        await self._leave()
        await self._inserter.disconnect()

    def remember_policy(self, version: str, name: str, source: str) -> None:
        """See that `policies` has this policy's text, so that each version can be read later."""
        self._known["policies", version] = (name, source)
        self._wake.set()

    def remember_template(self, template_hash: str, name: str, source: str) -> None:
        """See that `templates` has this template's text."""
        self._known["templates", template_hash] = (name, source)
        self._wake.set()

    @property
    def _waiting(self) -> int:
        return self._intake.waiting + len(self._mending)

    def _mend_later(self, exchange: Exchange) -> asyncio.Task[bool] | None:
        """Encode in a thread what is odd, then keep it."""
        if len(self._mending) >= MENDING_AT_ONCE:
            return None
        task = asyncio.create_task(self._mend(exchange))
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)
        return task

    async def _mend(self, exchange: Exchange) -> bool:
        try:
            line = await asyncio.to_thread(mend, exchange)
        except Exception:
            logger.exception("an exchange could not be encoded")
            return False
        kept = await self._intake.keep(self._seal(line))
        self._mended += kept
        return kept

    def _drop_if_not_kept(self, mending: asyncio.Task[bool]) -> None:
        if not mending.cancelled() and not mending.result():
            self._drop(1)

    def _more(self) -> None:
        if self._idle or self._full_batch:
            self._wake.set()

    @property
    def _full_batch(self) -> bool:
        """Whether more than one batch waits, so that lingering would gain nothing."""
        spools = self._spools
        return self._intake.full_batch or (spools is not None and spools.full_batch)

    @property
    def _work(self) -> bool:
        spools = self._spools
        return bool(
            self._intake.work
            or self._batch.records
            or self._known
            or (spools is not None and spools.work)
        )

    def _unavailable(self) -> LogUnavailable:
        return LogUnavailable(
            "The exchange cannot be recorded, so it is not served. Try again.",
            retry_after_seconds=1,
        )

    def _drop(self, count: int) -> None:
        self._dropped += count
        now = time.monotonic()
        if now - self._complained_at >= COMPLAINT_SECONDS:
            self._complained_at = now
            logger.error(
                "exchanges are not recorded: %d dropped so far, %d waiting; %s; last error: %s",
                self._dropped,
                self._waiting,
                self.trouble,
                self._last_error,
            )

    async def _write_until_stopped(self) -> None:
        delay, longest = BACKOFF_SECONDS
        while True:
            try:
                await self._wait_for_work()
                if self._stopping and not self._work and not self._mending:
                    return
                await self._write_known()
                await self._write()
                delay = BACKOFF_SECONDS[0]
                self._failing = False
            # Whatever goes wrong, the log must go on: nobody would start it again.
            except Exception as error:
                self._failing = True
                self._last_error = f"{type(error).__name__}: {error}".strip()
                logger.warning(
                    "the exchange log cannot write: %s; %d records wait, next try in %.1f s",
                    self._last_error,
                    self._waiting,
                    delay,
                    exc_info=not isinstance(error, psycopg.Error | OSError),
                )
                await self._inserter.disconnect()
                await asyncio.sleep(delay)
                delay = min(delay * 2, longest)

    async def _wait_for_work(self) -> None:
        """Return when there is a batch's worth, or a little later than the first record."""
        self._idle = True
        while not (self._work or self._stopping):
            self._wake.clear()
            due = self._spools.due_seconds if self._spools is not None else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), due)
            if due is not None and not self._stopping:
                await self._sweep()
        self._idle = False
        if self._mending and not self._work:
            await asyncio.wait(self._mending)
        if not (self._full_batch or self._batch.records or self._stopping):
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LINGER_SECONDS)

    async def _sweep(self) -> None:
        if self._spools is not None:
            await self._spools.sweep(self._inserter)

    async def _write_known(self) -> None:
        for (table, key), (name, source) in list(self._known.items()):
            await self._inserter.write_known(table, key, name, source)
            del self._known[table, key]

    async def _write(self) -> None:
        """Write a batch. What is done leaves it at once, so a failure in between repeats little."""
        if not self._batch.records:
            await self._sweep()
            self._batch = await self._next_batch()
        batch = self._batch
        source = self._memory if batch.spool is None else self._spools
        while batch.records and source is not None:
            rejected = self._rejected
            count = await self._inserter.write(batch)
            batch.lost = 0
            self._written += count - (self._rejected - rejected)
            await source.done(batch, count)

    async def _next_batch(self) -> Batch:
        for source in (self._spools, self._memory):
            if source is not None and (batch := await source.take(self._inserter)):
                return batch
        return Batch([])

    def _rejected_one(self, said: str) -> None:
        self._rejected += 1
        self._last_error = said
        logger.error("%s", said)

    async def _leave(self) -> None:
        """See to what could not be written before the end."""
        if self._spools is not None:
            with suppress(psycopg.Error, OSError, TimeoutError):
                await self._spools.close(self._inserter)
        dropped = self._memory.clear() + len(self._mending)
        if self._intake is self._spools and self._spools.spool is not None:
            dropped += self._spools.spool.pending
            if self._spools.behind:
                logger.warning("%d records stay in the spool", self._spools.behind)
        if dropped:
            self._complained_at = float("-inf")
            self._drop(dropped)
        self._batch = Batch([])
