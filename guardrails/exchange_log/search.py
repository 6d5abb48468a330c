"""Which exchanges hold some words? By an index that the rollups job keeps, newest first.

The index is a table of its own (`exchange_texts`), so that writing an exchange does not wait for
it. Rows that the job has not come to are read themselves. The log is looked through from the newest
row on, in growing spans, until the page is full: so a frequent word costs the last few thousand
rows, and a rare one a look into the index of each day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy import text as raw
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.rows import statement
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.upkeep_tables import exchange_texts, log_progress

JOB = "rollups"
DAY = timedelta(days=1)
ROWS_FIRST = (5_000, 50_000)
NEWEST_FIRST = (exchanges.c.started_at.desc(), exchanges.c.id.desc())

_DAYS = raw(
    "SELECT to_date(substr(relname, 16), 'YYYY_MM_DD') AS day FROM pg_inherits"
    " JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'exchange_texts'::regclass"
    " ORDER BY 1 DESC"
)
_PARTED = str.maketrans(dict.fromkeys("<>/\\=&\0", " "))
"""What SQL's `exchange_search` takes for the space between words."""
_SIMPLE: ColumnElement[Any] = literal_column("'simple'::regconfig")


async def find(
    connection: AsyncConnection,
    words: str,
    conditions: Sequence[ColumnElement[bool]],
    limit: int,
    since: datetime | None,
    until: datetime | None,
) -> list[Row[Any]]:
    """The newest rows that hold the words and meet the conditions.

    Cost: a few milliseconds a day looked through; 0.1 ms for each row of the last minute.
    """
    query = _query(words)
    border = select(func.coalesce(func.max(log_progress.c.xact), 0)).where(
        log_progress.c.job == JOB
    )
    xact = (await connection.execute(border)).scalar_one()
    fresh = (
        statement(None)
        .where(
            exchanges.c.xact >= xact,
            func.exchange_search(exchanges.c.inputs, exchanges.c.outputs).op("@@")(query),
            *conditions,
        )
        .order_by(*NEWEST_FIRST)
        .limit(limit)
    )
    rows = list(await connection.execute(fresh))
    indexed = 0
    async for start, end in _spans(connection, since, until):
        found = await connection.execute(
            _indexed(query, conditions, start, end, xact, limit - indexed)
        )
        before = len(rows)
        rows += found
        indexed += len(rows) - before
        if indexed >= limit:
            break
    rows.sort(key=lambda row: (row.started_at, row.id), reverse=True)
    return rows[:limit]


async def _spans(
    connection: AsyncConnection, since: datetime | None, until: datetime | None
) -> AsyncIterator[tuple[datetime, datetime]]:
    """Spans of the index from the newest on: first of so many rows, then of whole days."""
    days = [
        begin
        for (day,) in await connection.execute(_DAYS)
        if (begin := datetime(day.year, day.month, day.day, tzinfo=UTC))
        and (since is None or begin + DAY > since)
        and (until is None or begin <= until)
    ]
    if not days:
        return
    last = days[0] + DAY if until is None else min(until, days[0] + DAY)
    first = days[-1] if since is None else max(since, days[-1])
    for rows in ROWS_FIRST:
        nth = (
            select(exchange_texts.c.started_at)
            .where(exchange_texts.c.started_at >= first, exchange_texts.c.started_at < last)
            .order_by(exchange_texts.c.started_at.desc())
            .offset(rows - 1)
            .limit(1)
        )
        start = (await connection.execute(nth)).scalar()
        if start is None:
            yield first, last
            return
        yield start, last
        last = start
    days = [day for day in days if day < last]
    taken, together = 0, 1
    while taken < len(days):
        part = days[taken : taken + together]
        yield max(first, part[-1]), min(last, part[0] + DAY)
        taken, together = taken + together, together * 2


def _indexed(
    query: ColumnElement[Any],
    conditions: Sequence[ColumnElement[bool]],
    start: datetime,
    end: datetime,
    xact: int,
    limit: int,
) -> Any:
    """All that hold the words, by the index; those of them that meet the rest; the newest of those.

    In one step, Postgres takes a rare word for a frequent one, and reads a day to find none.
    """
    texts = exchange_texts.c
    keys = _apart(
        "keys",
        select(texts.started_at, texts.id).where(
            texts.search.op("@@")(query), texts.started_at >= start, texts.started_at < end
        ),
    )
    here = and_(keys.c.id == exchanges.c.id, keys.c.started_at == exchanges.c.started_at)
    inside = (exchanges.c.started_at >= start, exchanges.c.started_at < end)
    met = (
        select(exchanges.c.started_at, exchanges.c.id)
        .join(keys, here)
        .where(exchanges.c.xact < xact, *inside, *conditions)
    )
    return newest_of(met, limit, None)


def newest_of(keys: Select[Any], limit: int, cipher: Cipher | None) -> Any:
    """The newest rows among the keys that a query gives (`started_at`, `id`), whole.

    For where these are few: they are found first, however many Postgres expects.
    """
    found = _apart("found", keys)
    newest = (
        select(found.c.started_at, found.c.id)
        .order_by(found.c.started_at.desc(), found.c.id.desc())
        .limit(limit)
        .cte("newest")
    )
    here = and_(newest.c.id == exchanges.c.id, newest.c.started_at == exchanges.c.started_at)
    return statement(cipher).join(newest, here).order_by(*NEWEST_FIRST)


def _apart(name: str, query: Select[Any]) -> CTE:
    return query.cte(name).prefix_with("MATERIALIZED", dialect="postgresql")


def _query(words: str) -> ColumnElement[Any]:
    """As a person writes it, each word also for those that begin with it."""
    parsed = func.websearch_to_tsquery(_SIMPLE, bindparam("words", words.translate(_PARTED)))
    # A word stands in quotes; no word of this parser holds one.
    prefixed = func.regexp_replace(cast(parsed, Text), r"'( |\)|$)", r"':*\1", "g")
    return cast(prefixed, TSQUERY)
