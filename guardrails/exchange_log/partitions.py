"""Which day's table does an exchange go to, and who makes it?

One partition of `exchanges` a UTC day, made some days ahead by the writer at its start and by the
monitor's daily job. A row whose day has none goes to `exchanges_default`, so none is ever refused;
when the day's partition is made, its rows move there.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import psycopg
from psycopg import sql

from guardrails.database.url import libpq_url

DAYS_AHEAD = 7
PARTITION_LOCK = 0x65786368  # "exch"

# Not to_regclass: within a transaction it may answer from a cache older than the lock.
_EXISTS = """
SELECT EXISTS (
    SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = %s::regclass AND relname = %s
)
"""


def partition_name(day: date) -> str:
    """The table of one UTC day, as `exchanges_2026_11_23`."""
    return f"exchanges_{day:%Y_%m_%d}"


async def make_partitions(
    connection: psycopg.AsyncConnection, first: date, days: int = DAYS_AHEAD + 1
) -> list[str]:
    """Make what is missing of `days` partitions from `first` on; the names of those made.

    The connection must be in autocommit. Each partition is one transaction under an advisory lock
    with a short `lock_timeout`, so that it neither races another process nor queues behind a long
    query with all traffic behind it. Writers and readers go on meanwhile.
    Errors: psycopg.Error, as LockNotAvailable where the table stayed busy: try again later.
    """
    made = []
    for day in (first + timedelta(days=n) for n in range(days)):
        name = partition_name(day)
        if await _exists(connection, name):
            continue
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '3s'")
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (PARTITION_LOCK,))
            if not await _exists(connection, name):
                await _make(connection, day, name)
                made.append(name)
    return made


async def make_partitions_at(url: str, first: date, days: int = DAYS_AHEAD + 1) -> list[str]:
    """`make_partitions` on a connection of its own, for a job that has none."""
    async with await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True) as connection:
        return await make_partitions(connection, first, days)


async def make_day_of(connection: psycopg.AsyncConnection, parent: str, day: date) -> None:
    """See that a table beside `exchanges`, made as a job comes to it, has a partition for a day.

    Belongs into the transaction that fills it. Attached, and not made in its place, so that it
    waits for no reader, and no reader for it.
    """
    name = f"{parent}_{day:%Y_%m_%d}"
    if await _exists(connection, name, parent):
        return
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (PARTITION_LOCK,))
    if await _exists(connection, name, parent):
        return
    begin, end = _span(day)
    names = {"table": sql.Identifier(name), "parent": sql.Identifier(parent)}
    for statement in (
        "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        "ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES FROM ({begin}) TO ({end})",
    ):
        await connection.execute(sql.SQL(statement).format(**names, begin=begin, end=end))


async def _exists(
    connection: psycopg.AsyncConnection, name: str, parent: str = "exchanges"
) -> bool:
    row = await (await connection.execute(_EXISTS, (parent, name))).fetchone()
    return bool(row and row[0])


async def _make(connection: psycopg.AsyncConnection, day: date, name: str) -> None:
    """Build the table apart, move what the default partition has of that day, then attach it.

    Attaching locks `exchanges` less than `CREATE TABLE … PARTITION OF`, which would also fail as
    soon as the default partition holds one row of the day.
    """
    begin, end = _span(day)
    names = {"table": sql.Identifier(name), "begin": begin, "end": end}
    for statement in (
        "CREATE TABLE {table} (LIKE exchanges INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        # In the order in which attaching takes its locks, so that it meets no deadlock.
        "LOCK TABLE exchanges IN SHARE UPDATE EXCLUSIVE MODE",
        "LOCK TABLE exchanges_default IN ACCESS EXCLUSIVE MODE",
        "WITH moved AS (DELETE FROM exchanges_default"
        " WHERE started_at >= {begin} AND started_at < {end} RETURNING *)"
        " INSERT INTO {table} SELECT * FROM moved",
        "ALTER TABLE exchanges ATTACH PARTITION {table} FOR VALUES FROM ({begin}) TO ({end})",
    ):
        await connection.execute(sql.SQL(statement).format(**names))


def _span(day: date) -> tuple[str, str]:
    begin = datetime.combine(day, time(), UTC)
    return begin.isoformat(), (begin + timedelta(days=1)).isoformat()
