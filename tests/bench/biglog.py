"""How fast are the log's pages on a log of millions? `banister bench --log --rows 10000000`

Fills a scratch database (3.2 GB and two to three minutes a million rows), asks it what pages ask,
and removes it. Each question is asked once right after the server has started, with nothing of its
files in memory, then again and again.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from dashboards.scoped import ScopedLog
from guardrails.database import make_engine, migrate
from guardrails.database.embedded import EmbeddedPostgres, start_embedded
from guardrails.database.url import libpq_url
from guardrails.exchange_log import query, similar
from guardrails.exchange_log.export import Selection, batches, write_jsonl
from guardrails.exchange_log.holds import end_user_key
from guardrails.exchange_log.part_counts import Part, overview_of
from guardrails.exchange_log.rollups import overview
from tests.bench.biglog_fill import SERVER, fill
from tests.bench.biglog_pages import ask_pages

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ASKED_SECONDS = 60.0
EXPORTED = 50_000
COLUMNS = ("first_ms", "p50_ms", "p95_ms", "cpu_ms")
PAGE_COLUMNS = ("first_ms", "p50_ms", "p95_ms", "kilobytes")

_SIZES = """
SELECT parent, sum(pg_total_relation_size(inhrelid)) / 1e9 FROM
    (SELECT inhparent::regclass::text AS parent, inhrelid FROM pg_inherits
     WHERE inhparent::regclass::text IN ('exchanges', 'exchange_texts', 'exchange_embeddings')
    ) AS parts GROUP BY 1 ORDER BY 1
"""

Ask = Callable[[AsyncConnection], Awaitable[object]]


def main(rows: int, *, rounds: int, directory: Path | None = None, to: Path | None = None) -> int:
    """Fill, measure, print; `directory` is kept, and what it holds is not filled anew."""
    kept = directory is not None
    place = directory or Path(tempfile.mkdtemp(prefix="banister-biglog-"))
    # The embedded server runs as another user when we are root, and must reach its files.
    place.mkdir(parents=True, exist_ok=True, mode=0o755)
    place.chmod(0o755)
    try:
        figures = _measured(place, rows, rounds)
    finally:
        if not kept:
            shutil.rmtree(place, ignore_errors=True)
    _show(Console(), figures)
    if to is not None:
        to.write_text(json.dumps(figures, indent=1))
    return 0


def _measured(directory: Path, rows: int, rounds: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    mark = directory / "filled"
    if not mark.exists():
        with _served(directory) as server:
            migrate(server.url)
            end = datetime.now(UTC).replace(second=0, microsecond=0)
            filled = asyncio.run(_fill(server.url, rows, end))
            mark.write_text(json.dumps({"rows": rows, "end": end.isoformat(), **filled}))
    figures |= json.loads(mark.read_text())
    _forget_files(directory / "postgres")
    with _served(directory) as server:
        migrate(server.url)
        end = datetime.fromisoformat(figures["end"])
        figures["asked"] = asyncio.run(_ask(server.url, end, rounds))
        figures["export"] = asyncio.run(_export(server.url, end))
        figures["pages"] = asyncio.run(ask_pages(server.url, end, rounds))
    return figures


@contextmanager
def _served(directory: Path) -> Iterator[EmbeddedPostgres]:
    server = start_embedded(directory, options=SERVER)
    try:
        yield server
    finally:
        server.stop()


def questions(end: datetime) -> dict[str, Ask]:
    """What pages ask, by name."""
    hour = end.replace(minute=0)
    week = end - 7 * DAY
    of_a_tenant = Part(tenants=("tenant-7",))
    user = (end_user_key("user-77"),)

    def latest(**filters: Any) -> Ask:
        return lambda c: query.latest(c, 41, **filters)

    async def deep(connection: AsyncConnection) -> object:
        place = (end - 8 * DAY, "00000000-0000-7000-8000-000000000000")
        return await query.latest(connection, 41, place, decision="block")

    async def one(connection: AsyncConnection) -> object:
        [row] = await query.latest(connection, 1)
        return await query.get(connection, row.id)

    async def neighbours(connection: AsyncConnection, **filters: Any) -> object:
        for row in await query.latest(connection, 41, decision="block", until=hour - HOUR):
            return await similar.similar(connection, row.id, 20, **filters)
        return None

    return {
        "page: newest": latest(),
        "page: blocked": latest(decision="block"),
        "page: a route": latest(route="docs"),
        "page: a small tenant": latest(tenant="tenant-39"),
        "page: a model": latest(model="model-3"),
        "page: a model that nobody has": latest(model="nobody"),
        "page: an end user": latest(end_user_keys=user),
        "page: an end user that is nobody": latest(end_user_keys=(end_user_key("nobody"),)),
        "page: an hour of eight days ago": latest(since=week - DAY, until=week - DAY + HOUR),
        "page: eight days deep": deep,
        "page: a tenant's redacted": latest(tenant="tenant-7", decision="redact"),
        "page: largest tenant's redacted: none": latest(tenant="tenant-0", decision="redact"),
        "page: failed, the last five days ago": latest(failed=True),
        "page: failed in three days: none": latest(failed=True, since=end - 3 * DAY),
        "page: two small tenants": latest(tenants=("tenant-38", "tenant-39")),
        "page: one exchange": one,
        "page: choices of the filter bar": lambda c: ScopedLog(c, None).choices(end),
        "overview: 24 hours": lambda c: overview(c, hour - DAY, hour, HOUR),
        "overview: 7 days": lambda c: overview(c, hour - 7 * DAY, hour, 6 * HOUR),
        "overview: 24 hours of a tenant": lambda c: overview_of(
            c, hour - DAY, hour, HOUR, of_a_tenant
        ),
        "overview: 7 days of a tenant": lambda c: overview_of(
            c, hour - 7 * DAY, hour, 6 * HOUR, of_a_tenant
        ),
        "search: frequent word": latest(text="banister", since=week),
        "search: two frequent words": latest(text="banister oak", since=week),
        "search: rare word": latest(text="xylophone", since=week),
        "search: no such word": latest(text="zzyzx", since=week),
        "search: rare word, all days": latest(text="xylophone"),
        "search: phrase": latest(text='"the handrail"', since=week),
        "search: phrase, none such": latest(text='"steel paint"', since=week),
        "search: word of a small tenant": latest(text="banister", tenant="tenant-39", since=week),
        "similar: to an exchange": neighbours,
        "similar: of one tenant": lambda c: neighbours(c, tenant="tenant-7"),
        "similar: coverage": similar.coverage,
        "scan: totals of 24 hours": lambda c: query.totals(c, end - DAY, end),
    }


async def _ask(url: str, end: datetime, rounds: int) -> dict[str, dict[str, Any]]:
    """First each question once, cold; then each so many times, or as often as a minute allows."""
    engine = make_engine(url, connect_args={"options": "-c timezone=UTC -c statement_timeout=60s"})
    asked: dict[str, dict[str, Any]] = {}
    try:
        for name, ask in questions(end).items():
            asked[name] = {"first_ms": (await _timed(engine, ask))[0]}
        for name, ask in questions(end).items():
            taken: list[float] = []
            used: list[float] = []
            while len(taken) < rounds and sum(taken) < ASKED_SECONDS * 1000:
                milliseconds, cpu = await _timed(engine, ask)
                taken.append(milliseconds)
                used.append(cpu)
            taken.sort()
            asked[name] |= {
                "cpu_ms": statistics.mean(used),
                "n": len(taken),
                "p50_ms": statistics.median(taken),
                "p95_ms": taken[min(len(taken) - 1, round(0.95 * len(taken)))],
            }
    finally:
        await engine.dispose()
    return asked


async def _timed(engine: Any, ask: Ask) -> tuple[float, float]:
    """How long an answer took, and what it took of a core, here and in the server, both in ms."""
    async with engine.connect() as connection:
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        began, cpu = time.perf_counter(), _cpu_seconds(pid)
        await ask(connection)
        took = time.perf_counter() - began
        return took * 1000, (_cpu_seconds(pid) - cpu) * 1000


def _cpu_seconds(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(int(one) for one in ticks) / os.sysconf("SC_CLK_TCK") + time.process_time()


async def _export(url: str, end: datetime) -> dict[str, float]:
    """JSON lines, as `banister export` writes them."""
    async with await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True) as connection:
        began, cpu = time.perf_counter(), time.process_time()
        written = 0
        with Path(os.devnull).open("wb") as out:
            async with aclosing(batches(connection, Selection(None, end - 2 * DAY), None)) as found:
                async for batch in found:
                    written += await write_jsonl(_one(batch), out, lambda _: None)
                    if written >= EXPORTED:
                        break
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"rows_per_second": written / took, "python_us_per_row": cpu / max(written, 1) * 1e6}


async def _one(batch: Any) -> Any:
    yield batch


async def _fill(url: str, rows: int, end: datetime) -> dict[str, Any]:
    began = time.perf_counter()
    async with await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True) as connection:
        await fill(connection, rows, end)
        sizes = await (await connection.execute(_SIZES)).fetchall()
    return {
        "fill_seconds": time.perf_counter() - began,
        "gigabytes": {name: float(size) for name, size in sizes},
    }


def _forget_files(cluster: Path) -> None:
    """Let the system let go of what it keeps of a stopped server's files."""
    for path in cluster.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _show(console: Console, figures: dict[str, Any]) -> None:
    sizes = ", ".join(f"{name} {size:.1f} GB" for name, size in figures["gigabytes"].items())
    console.print(f"{figures['rows']:,} rows in {figures['fill_seconds']:,.0f} s: {sizes}.")
    table = Table("", "first ms", "p50 ms", "p95 ms", "CPU ms", "n")
    for name, one in figures["asked"].items():
        numbers = (f"{one[key]:,.1f}" for key in COLUMNS)
        table.add_row(name, *numbers, str(one["n"]))
    console.print(table)
    pages = Table("over HTTP", "first ms", "p50 ms", "p95 ms", "kB")
    for page, taken in figures["pages"].items():
        pages.add_row(page, *(f"{taken[key]:,.0f}" for key in PAGE_COLUMNS))
    console.print(pages)
    export = figures["export"]
    console.print(
        f"Export: {export['rows_per_second']:,.0f} rows/s, {export['python_us_per_row']:.0f} µs of "
        f"Python a row. {os.cpu_count()} cores, load {figures['load_average']:.1f} at the start."
    )
