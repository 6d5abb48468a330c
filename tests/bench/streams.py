"""What do streams cost, and how late is each token? `banister bench --stream`

Every peer stands in front of the same mock. Twenty streams at fifty chunks a second show how late
a chunk comes (each one says when it left the mock, on the clock that all processes share), and so
how much is held back; five hundred streams as fast as they go show throughput and memory. How much
detectors read, the proxy counts itself.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.request import urlopen

from rich.table import Table

from tests.bench import texts
from tests.bench.load import PATH
from tests.bench.measure import median
from tests.bench.mock import STREAM_CHUNKS, STREAM_LENGTHS
from tests.bench.peers import Running
from tests.bench.processes import settle
from tests.bench.report import added

PACE = 50
PACED_STREAMS = 20
MANY_STREAMS = 500
MOST_SECONDS = 60.0

_SCANNED = re.compile(
    r'^banister_scanned_characters_total{detector="(.+)",side="output"} (.+)$', re.MULTILINE
)
_SENT_AT = re.compile(rb'"sent_at":\s*([0-9.]+)')


@dataclass(slots=True)
class StreamFigures:
    """All that was seen of one peer's streams."""

    title: str
    to_first_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    lag_p50_ms: list[float] = field(default_factory=list)
    lag_p95_ms: list[float] = field(default_factory=list)
    held_median: list[float] = field(default_factory=list)
    held_most: list[float] = field(default_factory=list)
    scans: dict[str, float] | None = None
    cpu_ms: list[float] = field(default_factory=list)
    chunks_a_second: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    errors: int = 0
    ended: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    end_p95_seconds: list[float] = field(default_factory=list)


class _Listener(asyncio.Protocol):
    """Reads one stream to its end and notes when its chunks came."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.seen: list[tuple[float, float]] = []
        self.chunks = 0
        self.asked_at = 0.0
        self.first_at: float | None = None
        self.whole = False
        self.refused = False
        self.closed_at: float | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.asked_at = time.monotonic()
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self.first_at is None and data.startswith(b"HTTP/1.1 5"):
            self.refused = True
            self._end()
            return
        # A mark may be cut in two; what is left of the last chunk is looked at with the next.
        data, self._tail = self._tail + data, b""
        cut = data.rfind(b"data: ")
        if cut > 0 and not data.endswith(b"\n\n\r\n") and b"[DONE]" not in data:
            data, self._tail = data[:cut], data[cut:]
        count = data.count(b"data: {")
        if count and self.first_at is None:
            self.first_at = now
        self.chunks += count
        self.seen += [(float(at), now) for at in _SENT_AT.findall(data)]
        if b"data: [DONE]" in data:
            self.whole = True
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    @property
    def lags(self) -> list[float]:
        """How late each chunk came, in seconds."""
        return [came - left for left, came in self.seen]

    def _end(self) -> None:
        if not self.ended.done():
            self.closed_at = time.monotonic()
            self.ended.set_result(None)
        self._transport.close()


def _request(number: int, pace: int | None) -> bytes:
    content = texts.prompt(random.Random(number), texts.mark(number))
    body = {
        "model": "mock",
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        **({"pace": pace} if pace else {}),
    }
    raw = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer sk-bench\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


async def _listen(port: int, count: int, pace: int | None) -> list[_Listener]:
    loop = asyncio.get_running_loop()
    base = int(time.time() * 1_000) % 8_000_000
    listeners = []
    for number in range(count):
        request = _request(base + number, pace)
        _, listener = await loop.create_connection(
            lambda request=request: _Listener(request), "127.0.0.1", port
        )
        listeners.append(listener)
        if pace:
            # People do not all ask at once.
            await asyncio.sleep(1 / pace / 2)
    await asyncio.wait([listener.ended for listener in listeners], timeout=MOST_SECONDS)
    return listeners


def measure_streams(
    peers: Sequence[Running], rounds: int, step: Callable[[str], None], *, many: int = MANY_STREAMS
) -> dict[str, StreamFigures]:
    """Both kinds of load on each peer in turn, for some rounds."""
    figures = {running.peer.name: StreamFigures(running.peer.title) for running in peers}
    for number in range(rounds):
        for running in peers:
            step(f"round {number + 1}: {running.peer.title}, {PACED_STREAMS} streams at {PACE}/s")
            _paced(running, figures[running.peer.name])
            step(f"round {number + 1}: {running.peer.title}, {many} streams at once")
            _many(running, figures[running.peer.name], many)
    # Last, since whom one has asked for its counts holds 12 MB more.
    for running in filter(_counts, peers):
        step(f"what {running.peer.title} reads")
        figures[running.peer.name].scans = _scans(running)
    return figures


def turns(peers: Sequence[Running], rounds: int) -> int:
    """How many steps `measure_streams` takes."""
    return 2 * rounds * len(peers) + sum(map(_counts, peers))


def held_back(seen: Sequence[tuple[float, float]], lengths: Sequence[int]) -> list[int]:
    """Characters on their way whenever a chunk has left, itself with them.

    `seen` says of each chunk when it left and when it came, both in order.
    """
    held, on_the_way, arrived = [], 0, 0
    for number, (left, _) in enumerate(seen):
        on_the_way += lengths[number]
        while seen[arrived][1] < left:
            on_the_way -= lengths[arrived]
            arrived += 1
        held.append(on_the_way)
    return held


def _counts(running: Running) -> bool:
    return running.peer.logs


def _scans(running: Running) -> dict[str, float] | None:
    """How often each detector reads a character of an answer; by the proxy's own counters.

    None where a stream did not end: what was read of it would not be all of its text.
    """
    before = _scanned(running.port)
    listeners = asyncio.run(_listen(running.port, PACED_STREAMS, PACE))
    if not all(one.whole for one in listeners):
        return None
    characters = len(listeners) * sum(STREAM_LENGTHS)
    after = _scanned(running.port)
    return {
        name: (count - before.get(name, 0.0)) / characters
        for name, count in after.items()
        if count > before.get(name, 0.0)
    }


def _scanned(port: int) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    return {name: float(count) for name, count in _SCANNED.findall(page)}


def _paced(running: Running, figures: StreamFigures) -> None:
    before = running.tree.cpu_seconds() if running.tree else 0.0
    listeners = asyncio.run(_listen(running.port, PACED_STREAMS, PACE))
    lags = sorted(lag * 1e3 for listener in listeners for lag in listener.lags)
    figures.errors += sum(not listener.whole for listener in listeners)
    waits = [(one.first_at - one.asked_at) * 1e3 for one in listeners if one.first_at is not None]
    if waits:
        figures.to_first_ms.append(statistics.median(waits))
    if lags:
        firsts = [listener.lags[0] * 1e3 for listener in listeners if listener.lags]
        figures.first_ms.append(statistics.median(firsts))
        figures.lag_p50_ms.append(lags[len(lags) // 2])
        figures.lag_p95_ms.append(lags[int(len(lags) * 0.95)])
        held = [n for one in listeners for n in held_back(one.seen, STREAM_LENGTHS)]
        figures.held_median.append(statistics.median(held))
        figures.held_most.append(max(held))
    if running.tree is not None:
        settle(running.tree)
        chunks = PACED_STREAMS * STREAM_CHUNKS
        figures.cpu_ms.append((running.tree.cpu_seconds() - before) * 1e6 / chunks)


def _many(running: Running, figures: StreamFigures, count: int) -> None:
    began = time.monotonic()
    listeners = asyncio.run(_listen(running.port, count, None))
    seconds = time.monotonic() - began
    figures.ended.append(sum(one.whole for one in listeners))
    figures.refused.append(sum(one.refused for one in listeners))
    figures.late.append(sum(one.closed_at is None for one in listeners))
    figures.broken.append(count - figures.ended[-1] - figures.refused[-1] - figures.late[-1])
    took = sorted(one.closed_at - one.asked_at for one in listeners if one.whole and one.closed_at)
    if took:
        figures.end_p95_seconds.append(took[int(len(took) * 0.95)])
    figures.chunks_a_second.append(sum(listener.chunks for listener in listeners) / seconds)
    if running.tree is not None:
        figures.memory_mb.append(running.tree.memory().pss_mb)
        settle(running.tree)


def paced_table(figures: dict[str, StreamFigures]) -> Table:
    """How late tokens are, and why."""
    table = Table(title=f"{PACED_STREAMS} streams at {PACE} chunks/s")
    direct = figures.get("direct")
    _columns(table, "asked to first chunk, ms", "added, ms", "first chunk late, ms",
             "chunk late p50, ms", "p95, ms", "held characters, median", "most",
             "scans a character", "CPU ms per 1,000 chunks", "errors")  # fmt: skip
    for one in figures.values():
        more = added(one.to_first_ms, direct.to_first_ms) if direct else None
        table.add_row(
            one.title,
            _shown(one.to_first_ms, 1),
            _shown([] if more is None else [more], 1),
            _shown(one.first_ms, 1),
            _shown(one.lag_p50_ms, 1),
            _shown(one.lag_p95_ms, 1),
            _shown(one.held_median, 0),
            _shown(one.held_most, 0),
            _scans_shown(one.scans),
            _shown(one.cpu_ms, 0),
            str(one.errors),
        )
    return table


def many_table(figures: dict[str, StreamFigures], many: int) -> Table:
    """What becomes of very many streams at once."""
    table = Table(title=f"{many} streams at once")
    _columns(table, "chunks/s", "MB", "ended / refused / broken / late", "ended p95, s")
    for one in figures.values():
        ends = (one.ended, one.refused, one.broken, one.late)
        table.add_row(
            one.title,
            _shown(one.chunks_a_second, 0),
            _shown(one.memory_mb, 0),
            " / ".join(_shown(counts, 0) for counts in ends),
            _shown(one.end_p95_seconds, 1),
        )
    return table


def _columns(table: Table, *headings: str) -> None:
    table.add_column("peer")
    for heading in headings:
        table.add_column(heading, justify="right")


def _scans_shown(scans: dict[str, float] | None) -> str:
    if not scans:
        return "0" if scans == {} else "–"
    return "\n".join(f"{name} {times:.2f}" for name, times in sorted(scans.items()))


def _shown(values: Sequence[float], digits: int) -> str:
    middle = median(values)
    return "–" if middle is None else f"{middle:,.{digits}f}"
