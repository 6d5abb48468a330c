"""How does a record reach the disk before its answer ends, with one fsync for all who wait?

    put ─▶ pending ─▶ [thread: frame, write, sync] ─▶ wake all who waited for that group

While one group is being synced the next one gathers, so the rate grows with the number of those who
wait and the event loop never does. Linux writes and syncs in one system call (`RWF_DSYNC`): the
thread then asks for the interpreter's lock once a group.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from guardrails.exchange_log.segment import HEAD_BYTES, MOST_LINE_BYTES, framed, segment_path
from guardrails.exchange_log.spool_directory import sync_directory

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 32 * 2**20
SEGMENTS_AT_LEAST = 8
GROUP_BYTES = 4 * 2**20
PENDING_BYTES = 64 * 2**20
SPARE_SHARE = 0.1
SPARE_DISK_BYTES = 64 * 2**20
PROBE_SECONDS = 0.5
PROBE_BYTES = 2**16

_DSYNC = getattr(os, "RWF_DSYNC", 0) if hasattr(os, "pwritev") else 0


class End(Struct, frozen=True):
    """How far a spool is on disk: in which segment, up to which byte, the last record's number."""

    segment: int
    offset: int
    number: int


_Waiting = tuple[bytes, asyncio.Future[bool] | None]


class Spool:
    """The writing end of one spool, in a directory that is ours.

    `linger_seconds` 0: each group is synced at once, for somebody waits (mode `durable`); above 0:
    that long is gathered first (mode `fast`). Limits: `most_bytes` with what `others` hold; from
    nine tenths on `trouble` says so, and the rest is for what is under way already.
    """

    def __init__(
        self,
        directory: Path,
        *,
        most_bytes: int,
        linger_seconds: float = 0.0,
        segment_bytes: int = SEGMENT_BYTES,
        spare_disk_bytes: int = SPARE_DISK_BYTES,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._linger_seconds = linger_seconds
        # A segment goes only as a whole, and not while it is written to.
        self._segment_bytes = min(segment_bytes, most_bytes // SEGMENTS_AT_LEAST)
        self._spare_disk_bytes = spare_disk_bytes
        self._on_written = on_written
        self._loop = asyncio.get_running_loop()
        # Only these four are touched by both threads, each in one step.
        self._pending: deque[_Waiting] = deque()
        self._broken: str | None = None
        self._low: str | None = None
        self.end = End(1, 0, 0)
        self._pending_bytes = 0
        self._bytes = 0
        self.others = 0
        self._wake = threading.Lock()
        self._wake.acquire()
        self._signalled = False
        self._closing = False
        self._file = -1
        self._offset = 0
        self._first = self._next = 1
        self._looked_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def held_bytes(self) -> int:
        """What our own segments and what waits for them take."""
        return self._bytes + self._pending_bytes

    @property
    def pending(self) -> int:
        """Records that are not on disk yet."""
        return len(self._pending)

    @property
    def trouble(self) -> str | None:
        """Why nothing more should be begun that must be recorded; None when all is well."""
        if (said := self._broken or self._low) is not None:
            return said
        if self.held_bytes + self.others >= self._most_bytes * (1 - SPARE_SHARE):
            return "the spool is full"
        return None

    def put(self, line: bytes, waiter: asyncio.Future[bool] | None = None) -> bool:
        """Take a line without waiting; False where there is no room, or it is too long.

        `waiter` is set True once the line is on disk, False where it could not be written.
        Cost: a microsecond.
        """
        if (
            self.held_bytes + self.others + len(line) > self._most_bytes
            or self._pending_bytes > PENDING_BYTES
            or self._closing
            or len(line) > MOST_LINE_BYTES
        ):
            return False
        self._pending_bytes += len(line) + HEAD_BYTES
        self._pending.append((line, waiter))
        self._signal()
        return True

    async def keep(self, line: bytes) -> bool:
        """Take a line and return once it is on disk; False where it could not be written."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        return self.put(line, waiter) and await waiter

    def freed(self, count: int) -> None:
        """Be told that segments of ours with so many bytes are gone."""
        self._bytes -= count

    async def close(self) -> None:
        """Write what waits, and end the thread; `pending` is what could not be written."""
        if not self._closing:
            self._closing = True
            self._signal()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _signal(self) -> None:
        # Called in the event loop only, so no two signals race.
        if not self._signalled:
            self._signalled = True
            self._wake.release()

    def _settle(self, group: list[_Waiting], ok: bool, size: int) -> None:
        """In the event loop: the group's fate is known."""
        self._pending_bytes -= sum(len(line) + HEAD_BYTES for line, _ in group)
        self._bytes += size
        for _, waiter in group:
            if waiter is not None and not waiter.done():
                waiter.set_result(ok)
        self._on_written()

    # From here on: in the thread.

    def _run(self) -> None:
        while True:
            if self._wake.acquire(timeout=PROBE_SECONDS):
                self._signalled = False
            closing = self._closing
            self._look_at_disk()
            while self._pending:
                if self._linger_seconds and not self._closing:
                    time.sleep(self._linger_seconds)
                if not self._commit(self._take()):
                    break
                self._look_at_disk()
            if closing:
                self._close_file()
                return

    def _take(self) -> list[_Waiting]:
        group, size = [], 0
        while self._pending and size < GROUP_BYTES:
            group.append(self._pending.popleft())
            size += len(group[-1][0])
        return group

    def _commit(self, group: list[_Waiting]) -> bool:
        size = 0
        try:
            size = self._write([line for line, _ in group])
            self._broken = None
        except OSError as error:
            self._say_broken(error)
            # Whoever waits is told; what nobody waits for is tried again, as long as there is room.
            again = [waiting for waiting in group if waiting[1] is None]
            group = [waiting for waiting in group if waiting[1] is not None]
            self._pending.extendleft(reversed(again))
        # The loop is closed only when a process ends without `close`; then nobody waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, group, size > 0, size)
        return size > 0

    def _write(self, lines: list[bytes]) -> int:
        """Put lines on disk; bytes added. A segment that cannot be written gives way to a new one.

        After a failed sync nobody knows what of it is on disk, so none of that segment is used on.
        """
        for last_try in (False, True):
            data = framed(self._next, lines)
            try:
                if self._file < 0 or 0 < self._offset > self._segment_bytes - len(data):
                    self._open()
                self._write_at(data)
                break
            except OSError:
                self._give_up_segment(len(lines))
                if last_try:
                    raise
        self._offset += len(data)
        self._next += len(lines)
        self.end = End(self._first, self._offset, self._next - 1)
        return len(data)

    def _write_at(self, data: bytes) -> None:
        view, at = memoryview(data), self._offset
        while view:
            if _DSYNC:
                count = os.pwritev(self._file, [view], at, _DSYNC)
            else:
                count = os.pwrite(self._file, view, at)
            view, at = view[count:], at + count
        if not _DSYNC:
            os.fsync(self._file)

    def _open(self) -> None:
        self._close_file()
        self._first, self._offset = self._next, 0
        path = segment_path(self._directory, self._first)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_directory(self._directory)

    def _give_up_segment(self, count: int) -> None:
        """Cut off what a failed write left, for its `count` numbers will be given again."""
        if self._file < 0:
            return
        try:
            os.ftruncate(self._file, self._offset)
            os.fsync(self._file)
            if not self._offset:
                segment_path(self._directory, self._first).unlink(missing_ok=True)
        except OSError:
            # It may be read after all. Two records of one number would hide each other.
            self._next += count
        self._close_file()

    def _close_file(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _say_broken(self, error: OSError) -> None:
        if self._broken is None:
            logger.error("the spool cannot be written: %s", error.strerror)
        self._broken = f"the spool cannot be written: {error.strerror}"
        self._looked_at = time.monotonic()

    def _look_at_disk(self) -> None:
        """Every half second: is there room, and after a failure, can one write again?"""
        now = time.monotonic()
        if now - self._looked_at < PROBE_SECONDS:
            return
        self._looked_at = now
        try:
            found = os.statvfs(self._directory)
            low = found.f_bavail * found.f_frsize < self._spare_disk_bytes
            if low and self._low is None:
                logger.error("the disk of the spool is almost full")
            self._low = "the disk of the spool is almost full" if low else None
            if self._broken is not None:
                self._probe()
                self._broken = None
                logger.warning("the spool can be written again")
        except OSError as error:
            self._say_broken(error)

    def _probe(self) -> None:
        path = self._directory / "probe"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, bytes(PROBE_BYTES))
            os.fsync(file)
        finally:
            os.close(file)
            path.unlink(missing_ok=True)
