"""Which rows are there for good, and which of them has a job not gone through yet?

Each row says which transaction wrote it (`xact`). Below the oldest one that still runs nothing can
appear any more, however late a commit is: up to there a job goes through the log, range by range,
each row once. Nothing is assumed of clocks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from msgspec import Struct

from guardrails.errors import ConfigError
from guardrails.exchange_log.one_row import one_row

ROWS_AT_ONCE = 20_000

_BEGIN = "INSERT INTO log_progress (job) VALUES (%s) ON CONFLICT DO NOTHING"
_LOCK = "SELECT xact FROM log_progress WHERE job = %s FOR UPDATE"
# A dump that was restored into another cluster brings numbers that this one has not reached.
_BORDERS = """
SELECT pg_snapshot_xmin(now_at)::text::bigint + shift,
       pg_snapshot_xmax(now_at)::text::bigint + shift
FROM (SELECT pg_current_snapshot() AS now_at,
             coalesce((SELECT xact FROM log_progress WHERE job = 'shift'), 0) AS shift) AS at
"""
_STEP = """
SELECT xact FROM exchanges WHERE xact >= %s AND xact < %s ORDER BY xact OFFSET %s LIMIT 1
"""
_ANY = "SELECT EXISTS (SELECT FROM exchanges WHERE xact >= %s AND xact < %s)"
_DONE = "UPDATE log_progress SET xact = %s WHERE job = %s"


class Range(Struct, frozen=True):
    """The rows of the transactions from `start` until before `end`."""

    start: int
    end: int


@asynccontextmanager
async def next_range(
    connection: psycopg.AsyncConnection, job: str, *, rows: int = ROWS_AT_ONCE
) -> AsyncIterator[Range | None]:
    """The next settled rows of a job, about `rows`; None where it is up to date.

    One transaction: what the block writes, and that the range is done, stand or fall together. Two
    processes at one job take turns. Limits: a transaction's rows are never parted.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '30s'")
        await connection.execute(_BEGIN, (job,))
        (start,) = await one_row(connection, _LOCK, (job,))
        oldest, newest = await one_row(connection, _BORDERS)
        if start > newest:
            raise ConfigError(
                "The exchange log was restored from a dump; see docs/privacy.md, After a restore."
            )
        step = await (await connection.execute(_STEP, (start, oldest, rows))).fetchone()
        end = oldest if step is None else step[0]
        (any_row,) = await one_row(connection, _ANY, (start, end))
        if not any_row and step is not None:
            # One transaction wrote more than is taken at once.
            end, any_row = end + 1, True
        if not any_row:
            yield None
            return
        yield Range(start, end)
        await connection.execute(_DONE, (end, job))


async def reached(connection: psycopg.AsyncConnection, job: str) -> int:
    """The first transaction that a job has not gone through; 0 before its first run."""
    row = await (
        await connection.execute("SELECT xact FROM log_progress WHERE job = %s", (job,))
    ).fetchone()
    return 0 if row is None else row[0]
