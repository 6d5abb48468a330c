"""How fast is the exchange log by itself? `python -m tests.bench --log`

The spool with more and more who wait, the way from the spool into Postgres, and memory while
Postgres is away. One process, one event loop, one connection, as in the proxy.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from guardrails.database import migrate
from guardrails.database.embedded import start_embedded
from guardrails.database.url import libpq_url
from guardrails.exchange_log.record import encode
from guardrails.exchange_log.spool import Spool
from guardrails.exchange_log.spool_directory import create
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Exchange
from tests.factories import make_exchange

PRODUCERS = (1, 16, 64, 256)
NOWHERE = "postgresql://postgres@127.0.0.1:1/none"
QUESTION = "Why does the third step of the old oak stair creak, and what can be done? " * 5
REPLY = "Dry wood moves on its nails; screws from below and a little talcum help for years. " * 14


def main(
    *, rounds: int = 3, seconds: float = 2.0, rows: int = 20_000, to: Path | None = None
) -> int:
    """Measure and print all of it; `to` takes the figures as JSON."""
    # That Postgres is away is what we want: it need not be said each time.
    quiet = logging.getLogger("guardrails.exchange_log")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        figures = _measured(rounds, seconds, rows)
    finally:
        quiet.setLevel(level)
    _show(Console(), figures)
    if to is not None:
        to.write_text(json.dumps(figures, indent=1))
    return 0


def _measured(rounds: int, seconds: float, rows: int) -> dict[str, Any]:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="banister-bench-log-") as name:
        directory = Path(name)
        # The embedded server runs as another user when we are root, and must reach its files.
        directory.chmod(0o755)
        figures: dict[str, Any] = {
            "cores": os.cpu_count(),
            "load_average": load,
            "record_bytes": len(encode(_exchange()) or b""),
            "spool": uvloop.run(_spool(directory, rounds, seconds)),
            "sync_ms": _sync_ms(directory),
        }
        server = start_embedded(directory / "database")
        try:
            migrate(server.url)
            figures["postgres"] = uvloop.run(_postgres(server.url, directory, rows))
        finally:
            server.stop()
        figures["outage"] = uvloop.run(_outage(directory, rows))
    return figures


async def _spool(directory: Path, rounds: int, seconds: float) -> dict[int, dict[str, float]]:
    """The rounds are interleaved, so that what else the machine does falls on all alike."""
    seen: dict[int, list[dict[str, float]]] = {producers: [] for producers in PRODUCERS}
    for _ in range(rounds):
        for producers in PRODUCERS:
            seen[producers].append(await _producers(directory, producers, seconds))
    return {
        producers: {key: statistics.median(one[key] for one in each) for key in each[0]}
        for producers, each in seen.items()
    }


async def _producers(directory: Path, count: int, seconds: float) -> dict[str, float]:
    claim = create(directory / "spool")
    spool = Spool(claim.path, most_bytes=2**40)
    spool.start()
    line = encode(_exchange()) or b""
    waits: list[float] = []
    stop = time.perf_counter() + seconds

    async def produce() -> None:
        while (began := time.perf_counter()) < stop:
            if not await spool.keep(line):
                raise RuntimeError("the spool took no more")
            waits.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(produce() for _ in range(count)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await spool.close()
    claim.remove()
    waits.sort()
    return {
        "records_per_second": len(waits) / took,
        "p50_ms": waits[len(waits) // 2] * 1e3,
        "p99_ms": waits[int(len(waits) * 0.99)] * 1e3,
        "cpu_us": cpu / len(waits) * 1e6,
    }


def _sync_ms(directory: Path) -> float:
    """What one write with its sync costs here: the floor of a single producer."""
    path = directory / "sync"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(took) * 1e3


async def _postgres(url: str, directory: Path, rows: int) -> dict[str, float]:
    """First all of it into the spool, as while Postgres is away; then the way into the table."""
    left = ExchangeLog(NOWHERE, 1, mode="fast", directory=directory / "left")
    await left.start()
    await _fill(left, rows)
    await left.stop()
    log = ExchangeLog(url, 1, mode="fast", directory=directory / "left")
    began, cpu = time.perf_counter(), time.process_time()
    await log.start()
    while log.stats.written < rows:
        await asyncio.sleep(0.01)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await log.stop()
    with psycopg.connect(libpq_url(url)) as connection:
        found = connection.execute("SELECT count(*) FROM exchanges").fetchone()
    if found != (rows,):
        raise RuntimeError(f"{found} rows, not {rows}")
    return {"rows_per_second": rows / took, "python_us_per_row": cpu / rows * 1e6}


async def _outage(directory: Path, rows: int) -> dict[str, float]:
    log = ExchangeLog(NOWHERE, 1, mode="durable", directory=directory / "outage")
    await log.start()
    await _fill(log, rows // 10)
    before = _resident_mb()
    await _fill(log, rows * 5)
    after, held = _resident_mb(), log.stats.spool_bytes / 2**20
    await log.stop()
    return {"mb_before": before, "mb_after": after, "mb_on_disk": held}


async def _fill(log: ExchangeLog, records: int, at_once: int = 50) -> None:
    for _ in range(records // at_once):
        await asyncio.gather(*(log.keep(_exchange()) for _ in range(at_once)))


def _exchange() -> Exchange:
    return make_exchange(QUESTION, REPLY)


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _show(console: Console, figures: dict[str, Any]) -> None:
    table = Table("waiting at once", "records/s", "p50 ms", "p99 ms", "CPU µs a record")
    for producers, one in figures["spool"].items():
        table.add_row(
            str(producers),
            f"{one['records_per_second']:,.0f}",
            f"{one['p50_ms']:.2f}",
            f"{one['p99_ms']:.2f}",
            f"{one['cpu_us']:.0f}",
        )
    console.print(table)
    postgres, outage = figures["postgres"], figures["outage"]
    console.print(
        f"Into Postgres, one connection: {postgres['rows_per_second']:,.0f} rows/s, "
        f"{postgres['python_us_per_row']:.1f} µs of Python a row.\n"
        f"Postgres away: {outage['mb_before']:.0f} MB of memory, then {outage['mb_after']:.0f} MB "
        f"with {outage['mb_on_disk']:.0f} MB more on disk.\n"
        f"{figures['cores']} cores, load {figures['load_average']:.1f} at the start; records of "
        f"{figures['record_bytes']:,} bytes; one write and its sync take "
        f"{figures['sync_ms']:.2f} ms here."
    )
