"""What was scored before: a bounded memory of answers, the longest unused leaving first.

A conversation sends its whole history again with every turn, so most texts of a chat have been
scored already.
"""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict

from guardrails.inference.protocol import Span

Entry = tuple[list[float], list[Span | None]]
Key = tuple[str, str, bytes]

_ENTRY_OVERHEAD_BYTES = 400


def key_of(detector: str, version: str, text: str) -> Key:
    """The key of one text's answer; a detector's new version never sees the old one's answers."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return detector, version, digest


class Cache:
    """Least recently used answers by key. Limits: `entries` and about `size_bytes`."""

    def __init__(self, *, entries: int = 50_000, size_bytes: int = 64 * 2**20) -> None:
        self._entries = entries
        self._size_bytes = size_bytes
        self._held: OrderedDict[Key, Entry] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Key) -> Entry | None:
        """The answer, now the most recently used; None where there is none."""
        entry = self._held.get(key)
        if entry is not None:
            self._held.move_to_end(key)
        return entry

    def put(self, key: Key, entry: Entry) -> None:
        """Keep an answer; others leave until both limits hold."""
        self._remove(key)
        self._held[key] = entry
        self.bytes += _bytes(entry)
        while self._held and (len(self._held) > self._entries or self.bytes > self._size_bytes):
            self._remove(next(iter(self._held)))

    def _remove(self, key: Key) -> None:
        entry = self._held.pop(key, None)
        if entry is not None:
            self.bytes -= _bytes(entry)


def _bytes(entry: Entry) -> int:
    scores, spans = entry
    floats = sys.getsizeof(0.0) * len(scores)
    pairs = sum(sys.getsizeof(span) + 56 for span in spans if span is not None)
    return _ENTRY_OVERHEAD_BYTES + floats + pairs + 8 * (len(scores) + len(spans))
