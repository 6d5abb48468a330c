"""What one upstream request costs in CPU, by client library: `python -m tests.bench.clients`.

Libraries that are not installed are left out, so that they need not stand in our environment.
Figures: docs/decisions/0003.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from guardrails.settings import UpstreamSettings
from guardrails.upstream.client import Endpoint
from guardrails.upstream.pool import Pool
from tests.bench import mock

PATH = "/chat/completions"
BODY = mock.request_body(stream=False)
STREAM = mock.request_body(stream=True)

Ask = Callable[[bytes], Awaitable[int]]


async def own_client(url: str) -> AsyncIterator[Ask]:
    """Our connection, without the pool."""
    endpoint = Endpoint(url)

    async def ask(body: bytes) -> int:
        response = await endpoint.request("POST", PATH, body)
        return sum([len(part) async for part in response])

    yield ask
    await endpoint.aclose()


async def own_pool(url: str) -> AsyncIterator[Ask]:
    """Three endpoints, with balance, breaker and retries, as the proxy uses them."""
    names = ("a", "b", "c")
    pool = Pool([UpstreamSettings(name=name, url=url, model="mock") for name in names])

    async def ask(body: bytes) -> int:
        answer = await pool.send("mock", PATH, lambda _: body)
        return sum([len(part) async for part in answer])

    yield ask
    await pool.aclose()


async def aiohttp_client(url: str) -> AsyncIterator[Ask]:
    """aiohttp with a connector as wide as ours."""
    import aiohttp  # a peer, not a dependency

    connector = aiohttp.TCPConnector(limit=512)
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def ask(body: bytes) -> int:
            async with session.post(url + PATH, data=body, headers=headers) as response:
                return sum([len(part) async for part in response.content.iter_any()])

        yield ask


async def httpx_client(url: str) -> AsyncIterator[Ask]:
    """httpx with a pool as wide as ours."""
    import httpx  # a peer here

    limits = httpx.Limits(max_connections=512, max_keepalive_connections=512)
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def ask(body: bytes) -> int:
            async with client.stream("POST", url + PATH, content=body, headers=headers) as response:
                return sum([len(part) async for part in response.aiter_raw()])

        yield ask


CLIENTS: dict[str, tuple[Callable[[str], AsyncIterator[Ask]], str | None, int]] = {
    "own client": (own_client, None, 8_000),
    "own pool": (own_pool, None, 8_000),
    "aiohttp": (aiohttp_client, "aiohttp", 4_000),
    "httpx": (httpx_client, "httpx", 800),
}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _cost(ask: Ask, body: bytes, count: int, connections: int) -> tuple[float, float]:
    """CPU microseconds a request, and requests a second."""

    async def loop() -> None:
        for _ in range(count // connections):
            assert await ask(body) > 500  # a wrong answer is no measurement

    await asyncio.gather(*(ask(body) for _ in range(connections)))
    cpu, wall = _cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(connections)))
    cpu, wall = _cpu_seconds() - cpu, time.perf_counter() - wall
    return cpu / count * 1e6, count / wall


async def _measure(url: str, rounds: int) -> Table:
    present = {
        name: (opener, count)
        for name, (opener, module, count) in CLIENTS.items()
        if module is None or importlib.util.find_spec(module)
    }
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in track(range(rounds), "Rounds", console=Console(stderr=True)):
        for name, (opener, count) in present.items():
            async with contextlib.asynccontextmanager(opener)(url) as ask:
                for case, body, part, connections in (
                    ("16", BODY, count, 16),
                    ("64", BODY, count, 64),
                    ("stream", STREAM, max(count // 50, 16), 16),
                ):
                    cost = await _cost(ask, body, part, connections)
                    seen.setdefault((name, case), []).append(cost)
    table = Table(title=f"Upstream clients, medians of {rounds} rounds")
    table.add_column("client")
    for column in ("CPU µs a request, 16 at once", "64 at once", "CPU ms per 1,000 stream chunks"):
        table.add_column(column, justify="right")
    table.add_column("req/s at 64", justify="right")
    for name in present:
        costs = {case: statistics.median(c for c, _ in seen[name, case]) for _, case in seen}
        rate = statistics.median(r for _, r in seen[name, "64"])
        per_thousand = costs["stream"] / mock.STREAM_CHUNKS
        row = f"{costs['16']:.0f}", f"{costs['64']:.0f}", f"{per_thousand:.1f}", f"{rate:,.0f}"
        table.add_row(name, *row)
    return table


def main() -> None:
    """Start a mock upstream in its own process and measure every client that is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.bench.mock", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ))
    try:
        server.stdout.readline()  # type: ignore[union-attr]
        url = f"http://127.0.0.1:{port}/v1"
        Console().print(uvloop.run(_measure(url, arguments.rounds)))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
