"""What has a spool recorded that is not written yet, in order, whatever happened to its files?

Bytes that are no record are put aside and named, and reading goes on at the next good record.
Nothing is deleted before somebody says that it is written.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from guardrails.exchange_log.segment import (
    HEAD_BYTES,
    MARK,
    MOST_LINE_BYTES,
    Damage,
    parse,
    segment_path,
    segments_in,
)
from guardrails.exchange_log.spool import End

logger = logging.getLogger(__name__)

READ_BYTES = 2**20
MOST_KEPT_BYTES = 64 * 2**20
MOST_NAMED = 20
# Where a line begins; an id further in may be anybody's.
_ID = re.compile(re.escape(MARK) + rb'.{%d}\{"id":"([0-9a-f-]{36})"' % (HEAD_BYTES - 4), re.DOTALL)


class _Read(Struct, frozen=True):
    """A segment that was read to its end; `last` is the number of its last record."""

    path: Path
    last: int
    size: int


class SpoolReader:
    """The reading end of one spool. Every call blocks for the disk: call it in a thread.

    `position` is the number of the last record that is written already. `end` tells how far a spool
    that is still written to can be read; without it, nobody writes and all of it is read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        position: int = 0,
        end: Callable[[], End] | None = None,
        damaged: Path | None = None,
    ) -> None:
        self._directory = directory
        self._damaged = damaged
        self._end = end
        self._position = position
        self._number = position
        self._segment: int | None = None
        self._offset = 0
        self._done: list[_Read] = []
        self.lost = 0
        self.damaged_bytes = 0

    def read(self, most_bytes: int = READ_BYTES) -> list[tuple[int, bytes]]:
        """The next records with their numbers, about `most_bytes` of them; none at the end.

        Errors: OSError.
        """
        end = self._end() if self._end is not None else None
        while True:
            if self._segment is None and not self._next_segment(end):
                if end is not None and self._number < end.number:
                    self._miss("the end", end.number + 1)
                return []
            assert self._segment is not None  # noqa: S101  mypy
            path = segment_path(self._directory, self._segment)
            limit = end.offset if end is not None and end.segment == self._segment else None
            records, at_end = self._read_on(path, limit, most_bytes)
            if at_end and limit is None:
                self._done.append(_Read(path, self._number, self._offset))
                self._segment = None
            elif at_end and end is not None and self._number < end.number:
                # The last ones are damaged, and nothing behind them would tell.
                self._miss("the end", end.number + 1)
            if records or limit is not None:
                return records

    def written(self, position: int) -> int:
        """All up to `position` is written: delete the segments that nobody needs; bytes freed."""
        self._position = max(self._position, position)
        freed = 0
        for done in [done for done in self._done if done.last <= self._position]:
            done.path.unlink(missing_ok=True)
            freed += done.size
            self._done.remove(done)
        return freed

    @property
    def number(self) -> int:
        """The number of the last record that was read, or passed over as lost."""
        return self._number

    def held_bytes(self) -> int:
        """What the segments take on disk."""
        total = 0
        for first in segments_in(self._directory):
            with suppress(FileNotFoundError):
                total += segment_path(self._directory, first).stat().st_size
        return total

    def _next_segment(self, end: End | None) -> bool:
        """Go to the oldest segment that has not been read, if there is one."""
        read = {done.path for done in self._done}
        there = [
            first
            for first in segments_in(self._directory)
            if (end is None or first <= end.segment)
            and segment_path(self._directory, first) not in read
        ]
        if not there:
            return False
        self._segment, self._offset = there[0], 0
        return True

    def _read_on(
        self, path: Path, limit: int | None, most_bytes: int
    ) -> tuple[list[tuple[int, bytes]], bool]:
        """Records from where we stand in a segment, and whether its end was reached."""
        data, parsed, final = b"", parse(b"", final=True), True
        with suppress(FileNotFoundError), path.open("rb") as file:
            there = file.seek(0, 2)
            # What was cut off by somebody else shows as a gap in the numbers.
            size = there if limit is None else min(limit, there)
            # What is left of a long record, or nothing but damage, wants a longer look.
            for wanted in (most_bytes, HEAD_BYTES + MOST_LINE_BYTES):
                file.seek(self._offset)
                data = file.read(min(wanted, max(0, size - self._offset)))
                final = self._offset + len(data) >= size
                parsed = parse(data, final=final)
                if parsed.used or final:
                    break
        for damage in parsed.damages:
            self._put_aside(path, data, damage)
        records = [record for record in parsed.records if record[0] > self._number]
        for number, _ in records:
            if number != self._number + 1:
                self._miss(path.name, number)
            self._number = number
        self._offset += parsed.used
        return records, final

    def _miss(self, before: str, number: int) -> None:
        """Number `number` is the next that is there, or would be."""
        lost = number - self._number - 1
        self.lost += lost
        logger.error(
            "the exchange log lost %d records: numbers %d to %d of the spool %s, before %s; they "
            "were damaged on disk",
            lost,
            self._number + 1,
            number - 1,
            self._directory.name,
            before,
        )
        self._number = number - 1

    def _put_aside(self, path: Path, data: bytes, damage: Damage) -> None:
        """Keep bytes that are no record, and name the exchanges that can be read in them."""
        bad = data[damage.start : damage.end]
        if not bad.strip(b"\0"):
            return
        self.damaged_bytes += len(bad)
        start = self._offset + damage.start
        kept = self._keep(f"{self._directory.name}-{path.stem}-{start}.bin", bad)
        ids = [found.decode() for found in _ID.findall(bad)]
        logger.error(
            "%d bytes at %d of %s in the spool %s are no whole record; %s; exchanges begun in "
            "them: %s",
            len(bad),
            start,
            path.name,
            self._directory.name,
            f"they are kept in {kept}" if kept else "they could not be kept",
            ", ".join(ids[:MOST_NAMED]) or f"none legible ({bad.count(MARK)} marks)",
        )

    def _keep(self, name: str, bad: bytes) -> Path | None:
        directory = self._damaged
        if directory is None:
            return None
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            held = sum(path.stat().st_size for path in directory.iterdir())
            if held + len(bad) > MOST_KEPT_BYTES:
                return None
            path = directory / name
            if not path.exists():
                path.write_bytes(bad)
        except OSError:
            return None
        return path
