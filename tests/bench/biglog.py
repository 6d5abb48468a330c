"""How fast are the log's pages on a log of millions? Fills a database and measures.

    python -m tests.bench.biglog --rows 1000000 --directory /tmp/biglog [--keep]

The rows are made in the server (`INSERT … SELECT generate_series`), of the size and the shape of
real ones, over ten days; then the jobs count and index them as they would have.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.database import make_engine, migrate
from guardrails.database.embedded import start_embedded
from guardrails.database.url import libpq_url
from guardrails.exchange_log import query
from guardrails.exchange_log.rollups import overview
from tests.bench.biglog_fill import SERVER, fill

ROUNDS = 20

_SIZES = """
SELECT parent, pg_size_pretty(sum(pg_total_relation_size(inhrelid))) FROM
    (SELECT inhparent::regclass::text AS parent, inhrelid FROM pg_inherits
     WHERE inhparent::regclass::text IN ('exchanges', 'exchange_texts')) AS p GROUP BY 1
"""

Ask = Callable[[AsyncConnection], Awaitable[object]]


def asked(end: datetime) -> dict[str, Ask]:
    """The questions that pages put, by name."""
    minute = end.replace(second=0, microsecond=0)
    week = end - timedelta(days=7)

    def latest(**filters: object) -> Ask:
        return lambda c: query.latest(c, 41, **filters)  # type: ignore[arg-type]

    async def deep(connection: AsyncConnection) -> object:
        place = (end - timedelta(days=8), "00000000-0000-7000-8000-000000000000")
        return await query.latest(connection, 41, place, decision="block")

    async def one(connection: AsyncConnection) -> object:
        [row] = await query.latest(connection, 1)
        return await query.get(connection, row.id)

    return {
        "page: newest": latest(),
        "page: decision": latest(decision="block"),
        "page: tenant and decision": latest(tenant="tenant-7", decision="redact"),
        "page: model, none such": latest(model="nobody"),
        "page: failed": latest(failed=True),
        "page: eight days deep": deep,
        "page: one exchange": one,
        "page: overview of 24 hours": lambda c: overview(
            c, minute - timedelta(days=1), minute, timedelta(hours=1)
        ),
        "page: overview of 7 days": lambda c: overview(
            c, minute - timedelta(days=7), minute, timedelta(hours=6)
        ),
        "search: frequent word": latest(text="banister", since=week),
        "search: two frequent words": latest(text="banister oak", since=week),
        "search: phrase": latest(text='"steel paint"', since=week),
        "search: rare word": latest(text="xylophone", since=week),
        "search: no such word": latest(text="zzyzx", since=week),
        "search: rare word, ten days": latest(text="xylophone"),
        "search: rare word of a tenant": latest(text="banister", tenant="tenant-7", since=week),
        "scan: totals of 24 hours": lambda c: query.totals(c, minute - timedelta(days=1), minute),
    }


async def measure(url: str, end: datetime, rounds: int) -> None:
    """Ask each question some times and print what it took."""
    engine = make_engine(url)
    print(f"{'':34} {'p50':>8} {'p95':>8}  ms, n = {rounds}")
    for name, ask in asked(end).items():
        taken = []
        for _ in range(rounds if not name.startswith("scan") else 3):
            async with engine.connect() as connection:
                began = time.perf_counter()
                await ask(connection)
                taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        p95 = taken[min(len(taken) - 1, round(0.95 * len(taken)))]
        print(f"{name:34} {statistics.median(taken):8.1f} {p95:8.1f}", flush=True)
    await engine.dispose()


async def _fill(url: str, rows: int, end: datetime) -> None:
    began = time.perf_counter()
    async with await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True) as connection:
        await fill(connection, rows, end)
        print(f"{rows:,} rows in {time.perf_counter() - began:.0f} s")
        sizes = await connection.execute(_SIZES)
        print("; ".join(f"{name}: {size}" for name, size in await sizes.fetchall()))


def main() -> None:
    """Fill a scratch database of its own and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--keep", action="store_true", help="leave the database for another time")
    arguments = parser.parse_args()
    kept = arguments.directory / "end"
    server = start_embedded(arguments.directory, options=SERVER)
    try:
        migrate(server.url)
        if not kept.exists():
            end = datetime.now(UTC).replace(second=0, microsecond=0)
            asyncio.run(_fill(server.url, arguments.rows, end))
            kept.write_text(end.isoformat())
        end = datetime.fromisoformat(kept.read_text())
        asyncio.run(measure(server.url, end, arguments.rounds))
    finally:
        server.stop()
        if not arguments.keep:
            shutil.rmtree(arguments.directory, ignore_errors=True)


if __name__ == "__main__":
    main()
