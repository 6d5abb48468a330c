"""Sends requests and measures the answers: `python -m tests.bench.load`, told what to do on stdin.

A process of its own, so that its cost is nobody else's. One JSON order a line on stdin, one or two
JSON lines on stdout: `{"event": "begin"}` where the measured time starts, then the result.

    {"kind": "closed", "port": 8080, "connections": 16, "warmup": 0.5, "seconds": 2, "most": 6}
    {"kind": "open", "ports": [8080, 8081], "rate": 10, "seconds": 20}

Closed: each connection asks again as soon as it was answered, for so many seconds, or longer where
fewer than two answers a connection came. Open: `rate` requests a second to each port, the ports in
turn, whether or not earlier ones were answered; times are from the sending.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from tests.bench import texts

PATH = "/v1/chat/completions"
DRAIN_SECONDS = 10.0
LAST_ANSWERS_SECONDS = 2.0
_PLACE = "@" * texts.MARK_LETTERS
_ENDING = texts.ENDING.encode()

OnAnswer = Callable[["Caller", int, float], None]


def requests(*, model: str = "mock", stream: bool = False) -> Callable[[], bytes]:
    """A source of requests, each with a prompt of its own."""
    parts = []
    for seed in range(64):
        content = texts.prompt(random.Random(seed), _PLACE)
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}]}
        if stream:
            body["stream"] = True
        raw = json.dumps(body).encode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer sk-bench\r\ncontent-length: {len(raw)}\r\n\r\n"
        )
        before, _, after = (head.encode() + raw).partition(_PLACE.encode())
        parts.append((before, after))
    cycle = itertools.cycle(parts)
    # Two runs must not meet the same texts.
    numbers = itertools.count(int(time.time() * 1_000) % 8_000_000)

    def build() -> bytes:
        before, after = next(cycle)
        return b"%b%b%b" % (before, texts.mark(next(numbers)).encode(), after)

    return build


class Caller(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, on_answer: OnAnswer) -> None:
        self._on_answer = on_answer
        self._transport: asyncio.Transport
        self._buffer = b""
        self._sent_at = 0.0
        self.waiting = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """An unanswered request is an error."""
        self.closed = True
        if self.waiting:
            self._answered(0)

    def send(self, data: bytes) -> None:
        """Ask."""
        self.waiting = True
        self._sent_at = time.perf_counter()
        self._transport.write(data)

    def close(self) -> None:
        """Hang up; what was not answered does not count."""
        self.waiting = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Find the end of the answer."""
        buffer = self._buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = buffer[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            if len(buffer) < end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0]):
                return
        elif not buffer.endswith(b"0\r\n\r\n"):
            return
        self._buffer = b""
        # An answer that a rule replaced is no answer to compare.
        self._answered(int(buffer[9:12]) if _ENDING in buffer else 0)

    def _answered(self, status: int) -> None:
        self.waiting = False
        self._on_answer(self, status, time.perf_counter() - self._sent_at)


async def connect(port: int, on_answer: OnAnswer) -> Caller:
    """A connection to a port of this machine."""
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_connection(lambda: Caller(on_answer), "127.0.0.1", port)
    return caller


async def closed(order: dict[str, Any], build: Callable[[], bytes]) -> dict[str, Any]:
    """Keep every connection busy; count what was answered within the measured time."""
    counting = False
    running = True
    seconds: list[float] = []
    errors = 0

    def on_answer(caller: Caller, status: int, took: float) -> None:
        nonlocal errors
        if counting:
            if status == 200:
                seconds.append(took)
            else:
                errors += 1
        if running and not caller.closed:
            caller.send(build())

    callers = [await connect(order["port"], on_answer) for _ in range(order["connections"])]
    for caller in callers:
        caller.send(build())
    await asyncio.sleep(order["warmup"])
    counting = True
    _say(event="begin")
    began = time.perf_counter()
    await asyncio.sleep(order["seconds"])
    enough = 2 * order["connections"]
    await _until(lambda: len(seconds) + errors >= enough, order["most"] - order["seconds"])
    counting = running = False
    took = time.perf_counter() - began
    _say(event="end", wall_seconds=took, errors=errors, **_summary(seconds))
    await _until(lambda: not any(caller.waiting for caller in callers), LAST_ANSWERS_SECONDS)
    for caller in callers:
        caller.close()
    return {"event": "drained"}


async def open_(order: dict[str, Any], build: Callable[[], bytes]) -> dict[str, Any]:
    """Send at a fixed rate to each port in turn."""
    loop = asyncio.get_running_loop()
    ports = order["ports"]
    seconds: dict[int, list[float]] = {port: [] for port in ports}
    errors = dict.fromkeys(ports, 0)
    idle: dict[int, list[Caller]] = {port: [] for port in ports}
    pending = 0

    def listener(port: int) -> OnAnswer:
        def on_answer(caller: Caller, status: int, took: float) -> None:
            nonlocal pending
            pending -= 1
            if status == 200:
                seconds[port].append(took)
            else:
                errors[port] += 1
            if not caller.closed:
                idle[port].append(caller)

        return on_answer

    listeners = {port: listener(port) for port in ports}
    for port in ports:
        for _ in range(2):
            idle[port].append(await connect(port, listeners[port]))
    # The first answer of a connection is not what a low rate looks like.
    for port in ports:
        pending += 1
        idle[port].pop(0).send(build())
    await _until(lambda: pending == 0, DRAIN_SECONDS)
    for port in ports:
        seconds[port].clear()
        errors[port] = 0
    _say(event="begin")
    began = loop.time()
    for number in range(int(order["rate"] * order["seconds"])):
        for place, port in enumerate(ports):
            at = began + (number + place / len(ports)) / order["rate"]
            await asyncio.sleep(max(0.0, at - loop.time()))
            ready = [caller for caller in idle[port] if not caller.closed]
            caller = ready[0] if ready else await connect(port, listeners[port])
            idle[port] = ready[1:]
            pending += 1
            caller.send(build())
    await _until(lambda: pending == 0, DRAIN_SECONDS)
    for callers in idle.values():
        for caller in callers:
            caller.close()
    return {
        "event": "end",
        "ports": {port: {"errors": errors[port], **_summary(seconds[port])} for port in ports},
    }


async def _until(done: Callable[[], bool], most_seconds: float) -> None:
    limit = time.perf_counter() + most_seconds
    while not done() and time.perf_counter() < limit:
        await asyncio.sleep(0.005)


def _summary(seconds: list[float]) -> dict[str, Any]:
    if len(seconds) < 2:
        return {"answers": len(seconds), "p50_ms": None, "p99_ms": None}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"answers": len(seconds), "p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


def _say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    """Obey until stdin ends."""
    build = requests()
    for line in sys.stdin:
        order = json.loads(line)
        run = closed if order["kind"] == "closed" else open_
        try:
            _say(**uvloop.run(run(order, build)))
        except OSError as error:
            _say(event="failed", message=str(error))


if __name__ == "__main__":
    main()
