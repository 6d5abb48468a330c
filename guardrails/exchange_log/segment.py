"""How do records lie in a file, so that damage is found and every good record behind it too?

    segment = record, record, …
    record  = mark (4 bytes) │ CRC-32 (4) │ length of the line (4) │ number (8) │ line

The CRC covers all that follows it. Numbers count up by one through all segments of a spool; a
segment's file is named after its first one. The mark is no UTF-8, so no line can hold it, and after
damage the next mark with a right CRC is the next record.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from msgspec import Struct

from guardrails.exchange_log.record import MAX_RECORD_BYTES

MARK = b"\xff\xfeB1"
MOST_LINE_BYTES = 2 * MAX_RECORD_BYTES
SUFFIX = ".seg"

_HEAD = struct.Struct("<4sIIQ")
_COVERED = struct.Struct("<IQ")
HEAD_BYTES = _HEAD.size


class Damage(Struct, frozen=True):
    """Bytes of a segment that are no record, as offsets into what was read."""

    start: int
    end: int


class Parsed(Struct, frozen=True):
    """What some bytes of a segment hold; `used` of them need not be read again."""

    records: list[tuple[int, bytes]]
    damages: list[Damage]
    used: int


def segment_path(directory: Path, first: int) -> Path:
    """The file of the segment that begins with record number `first`."""
    return directory / f"{first:020d}{SUFFIX}"


def segments_in(directory: Path) -> list[int]:
    """The first numbers of a spool's segments, oldest first."""
    names = (path.stem for path in directory.glob(f"*{SUFFIX}"))
    return sorted(int(name) for name in names if name.isdigit())


def framed(first: int, lines: Sequence[bytes]) -> bytes:
    """Some lines as records, numbered from `first` on. Cost: 1 µs a record and 1 µs a KiB."""
    parts = []
    for number, line in enumerate(lines, first):
        covered = crc32(line, crc32(_COVERED.pack(len(line), number)))
        parts.append(_HEAD.pack(MARK, covered, len(line), number))
        parts.append(line)
    return b"".join(parts)


def parse(data: bytes, *, final: bool) -> Parsed:
    """The records in `data`, which begins where a record should begin.

    `final`: a record must end where `data` ends; else what is cut off there is left for the next
    call, which then needs at least `HEAD_BYTES + MOST_LINE_BYTES` to get on.
    """
    records: list[tuple[int, bytes]] = []
    damages: list[Damage] = []
    at, size = 0, len(data)
    while at < size:
        line_at = at + HEAD_BYTES
        if line_at <= size:
            mark, checksum, length, number = _HEAD.unpack_from(data, at)
            if mark == MARK and length <= MOST_LINE_BYTES:
                end = line_at + length
                if end <= size:
                    line = data[line_at:end]
                    if crc32(line, crc32(data[at + 8 : line_at])) == checksum:
                        records.append((number, line))
                        at = end
                        continue
                elif not final:
                    break
        elif not final:
            break
        following = data.find(MARK, at + 1)
        if following < 0:
            # The first bytes of a mark may stand at the end.
            following = size if final else max(at + 1, size - len(MARK) + 1)
        if damages and damages[-1].end == at:
            damages[-1] = Damage(damages[-1].start, following)
        else:
            damages.append(Damage(at, following))
        at = following
    return Parsed(records, damages, at)
