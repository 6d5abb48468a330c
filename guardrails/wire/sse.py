"""Server-sent events: bytes as they arrive in, whole events out."""

from __future__ import annotations

from collections.abc import Iterator

from guardrails.errors import UpstreamError

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"


def event(data: bytes) -> bytes:
    """One event on the wire."""
    return b"data: " + data + b"\n\n"


class Events:
    """Cuts a stream of bytes into events, wherever the chunks happen to break.

    Cost: linear in the bytes. Limits: one event of `most_bytes`; a longer one is an UpstreamError.
    """

    def __init__(self, most_bytes: int = 8 * 2**20) -> None:
        self._most_bytes = most_bytes
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    @property
    def holds(self) -> bool:
        """Whether a part of an event is held."""
        return bool(self._pending)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each event that this chunk completes, comments and other fields left out."""
        # Within JSON a carriage return is always escaped, so a raw one belongs to a line's end.
        chunk = chunk.replace(b"\r", b"")
        # A border may lie between two chunks, so the last byte already held is looked at again.
        held_newline = bool(self._pending) and self._pending[-1].endswith(b"\n")
        if not (b"\n\n" in chunk or (held_newline and chunk.startswith(b"\n"))):
            self._hold(chunk)
            return
        parts = (b"".join(self._pending) + chunk).split(b"\n\n")
        self._pending, self._pending_bytes = [], 0
        if parts[-1]:
            self._hold(parts[-1])
        for part in parts[:-1]:
            if data := _data(part):
                yield data

    def end(self) -> Iterator[bytes]:
        """What a stream that ended without its last empty line still held."""
        if data := _data(b"".join(self._pending)):
            yield data

    def _hold(self, chunk: bytes) -> None:
        self._pending_bytes += len(chunk)
        if self._pending_bytes > self._most_bytes:
            raise UpstreamError("The upstream sent an event that is too large.")
        if chunk:
            self._pending.append(chunk)


def _data(block: bytes) -> bytes:
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line[:5] == b"data:"]
    return b"\n".join(lines)
