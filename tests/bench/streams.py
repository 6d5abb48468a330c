"""What do streams cost, and how late is each token? `banister bench --stream`

Every peer stands in front of the same mock. Twenty streams at fifty chunks a second show how late
a chunk comes (each one says when it left the mock, on the clock that all processes share); five
hundred streams as fast as they go show throughput and memory.
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

from rich.table import Table

from tests.bench import texts
from tests.bench.load import PATH
from tests.bench.measure import median
from tests.bench.mock import STREAM_CHUNKS
from tests.bench.peers import Running
from tests.bench.processes import settle

PACE = 50
PACED_STREAMS = 20
MANY_STREAMS = 500
MOST_SECONDS = 60.0

_SENT_AT = re.compile(rb'"sent_at":\s*([0-9.]+)')


@dataclass(slots=True)
class StreamFigures:
    """All that was seen of one peer's streams."""

    title: str
    to_first_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    lag_p50_ms: list[float] = field(default_factory=list)
    lag_p95_ms: list[float] = field(default_factory=list)
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
        self.lags: list[float] = []
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
        self.lags += [now - float(at) for at in _SENT_AT.findall(data)]
        if b"data: [DONE]" in data:
            self.whole = True
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

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
    return figures


def turns(peers: Sequence[Running], rounds: int) -> int:
    """How many steps `measure_streams` takes."""
    return 2 * rounds * len(peers)


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


def streams_table(figures: dict[str, StreamFigures], many: int = MANY_STREAMS) -> Table:
    """What a person reads."""
    table = Table(title=f"Streams: {PACED_STREAMS} at {PACE} chunks/s, then {many} at once")
    table.add_column("peer")
    for heading in (
        "asked to first chunk, ms", "first chunk late, ms", "chunk late p50, ms", "p95, ms",
        "CPU ms per 1,000 chunks", f"chunks/s at {many}", f"MB at {many}",
        "ended / refused / broken / late", "ended p95, s", "errors at 20",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for one in figures.values():
        table.add_row(
            one.title,
            _shown(one.to_first_ms, 1),
            _shown(one.first_ms, 1),
            _shown(one.lag_p50_ms, 1),
            _shown(one.lag_p95_ms, 1),
            _shown(one.cpu_ms, 0),
            _shown(one.chunks_a_second, 0),
            _shown(one.memory_mb, 0),
            " / ".join(
                _shown(counts, 0) for counts in (one.ended, one.refused, one.broken, one.late)
            ),
            _shown(one.end_p95_seconds, 1),
            str(one.errors),
        )
    return table


def _shown(values: Sequence[float], digits: int) -> str:
    middle = median(values)
    return "–" if middle is None else f"{middle:,.{digits}f}"
