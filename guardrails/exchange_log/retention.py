"""For how long is an exchange kept?

A day's table is dropped whole once nothing in it is kept any longer. Where some of its rows must go
sooner, or a hold keeps some, the others lose their texts and stay as tombstones. What was copied or
quoted of them goes with them, and the evidence of an alert some time after the alert.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import psycopg
from msgspec import Struct
from psycopg import sql

from guardrails.exchange_log import remains
from guardrails.exchange_log.chain import Sealer, span_of
from guardrails.exchange_log.erasure import (
    Target,
    again,
    forget,
    forget_copies,
    note_done,
    open_record,
)
from guardrails.exchange_log.holds import HELD, release_evidence
from guardrails.exchange_log.one_row import one_row
from guardrails.exchange_log.partitions import PARTITION_LOCK, partition_name
from guardrails.exchange_log.settled import Range
from guardrails.settings import RetentionSettings

ERASURES_STAND = timedelta(days=31)
RUNS_KEPT = timedelta(days=2)
MINUTES_KEPT = timedelta(days=8)
BY = "retention"

_DAYS = """
SELECT to_date(substr(relname, 11), 'YYYY_MM_DD') FROM pg_inherits
JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'exchanges'::regclass AND relname ~ '^exchanges_\\d{4}_\\d\\d_\\d\\d$'
UNION SELECT DISTINCT (started_at AT TIME ZONE 'UTC')::date FROM exchanges_default ORDER BY 1
"""
_DUE = sql.SQL(
    """
    SELECT EXISTS (SELECT FROM exchanges AS e WHERE e.started_at >= {start}
                   AND e.started_at < {end} AND e.erased_at IS NULL AND {which})
    """
)
_STANDING = """
SELECT id, tenant, end_users, until FROM erasures
WHERE kind = 'request' AND (requested_at > %s OR held > 0) ORDER BY requested_at
"""


class Kept(Struct, frozen=True):
    """What one run of retention did. `busy` days are in use, and are tried again the next time.

    `words` are reasons of appeals and notes of reviewers; `released` are holds on evidence.
    """

    dropped: tuple[date, ...]
    busy: tuple[date, ...]
    held: tuple[date, ...]
    erased: int
    words: int
    released: int


async def retain(
    connection: psycopg.AsyncConnection,
    sealer: Sealer,
    rules: Sequence[RetentionSettings],
    default_days: int | None,
    *,
    evidence_days: int | None = None,
    now: datetime,
) -> Kept:
    """Let go of what is kept no longer; do again the erasures of the last month.

    The exchanges of an alert are held until `evidence_days` after its end; None: until released.
    Units: days are whole UTC days: a row is kept for at least so many times 24 hours. Errors:
    psycopg.Error where Postgres is away; a table that is in use is left for the next run.
    """
    released = 0
    if evidence_days is not None:
        released = await release_evidence(connection, timedelta(days=evidence_days), now)
    erased, words = await _standing_erasures(connection, sealer, now)
    days = await (await connection.execute(_DAYS)).fetchall()
    dropped: list[date] = []
    busy: list[date] = []
    held: list[date] = []
    for (day,) in days:
        if _expired(day, default_days, now) and all(_expired(day, r.days, now) for r in rules):
            match await _drop(connection, sealer, day):
                case "dropped":
                    dropped.append(day)
                case "busy":
                    busy.append(day)
                case "held":
                    held.append(day)
                    erased += await _tombstone(connection, sealer, day, sql.SQL("true"), now)
            continue
        for number, rule in enumerate(rules):
            if _expired(day, rule.days, now):
                which = _fits(rules, number)
                erased += await _tombstone(connection, sealer, day, which, now)
        if _expired(day, default_days, now):
            erased += await _tombstone(connection, sealer, day, _fits(rules, len(rules)), now)
    erased += await _orphans(connection, sealer, now)
    words += await remains.forget_words(connection, remains.GONE)
    await _prune(connection, now, default_days)
    return Kept(tuple(dropped), tuple(busy), tuple(held), erased, words, released)


def _expired(day: date, days: int | None, now: datetime) -> bool:
    return days is not None and span_of(day)[1] <= now - timedelta(days=days)


def _fits(rules: Sequence[RetentionSettings], number: int) -> sql.Composable:
    """Which rows a rule holds for: those that it names and no rule before it does."""
    own: sql.Composable = _names(rules[number]) if number < len(rules) else sql.SQL("true")
    earlier = [sql.SQL("NOT ({})").format(_names(rule)) for rule in rules[:number]]
    return sql.SQL(" AND ").join([own, *earlier])


def _names(rule: RetentionSettings) -> sql.Composable:
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if rule.tenants is not None:
        conditions.append(sql.SQL("e.tenant = ANY ({})").format(list(rule.tenants)))
    if rule.routes is not None:
        conditions.append(sql.SQL("e.route = ANY ({})").format(list(rule.routes)))
    return sql.SQL(" AND ").join(conditions)


async def _tombstone(
    connection: psycopg.AsyncConnection,
    sealer: Sealer,
    day: date,
    which: sql.Composable,
    now: datetime,
) -> int:
    """Erase the texts of a day's rows; nothing goes on record where there are none."""
    start, end = span_of(day)
    unheld = sql.SQL("{} AND NOT {}").format(which, sql.SQL(HELD))
    (due,) = await one_row(connection, _DUE.format(start=start, end=end, which=unheld))
    if not due:
        return 0
    reason = f"kept no longer: {day.isoformat()}"
    erasure = await open_record(connection, "retention", until=end, now=now, by=BY, reason=reason)
    erased = await forget(connection, sealer, day, which, erasure, now=now)
    await note_done(connection, erasure, sql.SQL("false"), end, erased)
    return erased


async def _drop(connection: psycopg.AsyncConnection, sealer: Sealer, day: date) -> str:
    """Drop a day: its table, its texts, and what the default partition has of it."""
    start, end = span_of(day)
    held = _DUE.format(start=start, end=end, which=sql.SQL(HELD))
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '3s'")
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (PARTITION_LOCK,))
            (any_held,) = await one_row(connection, held)
            if any_held:
                return "held"
            (rows,) = await one_row(
                connection,
                "SELECT count(*) FROM exchanges WHERE started_at >= %s AND started_at < %s",
                (start, end),
            )
            (last,) = await one_row(connection, "SELECT pg_current_xact_id()::text::bigint")
            for parent, table in (
                ("exchange_texts", f"exchange_texts_{day:%Y_%m_%d}"),
                ("exchange_embeddings", f"exchange_embeddings_{day:%Y_%m_%d}"),
                ("exchanges", partition_name(day)),
            ):
                names = {"parent": sql.Identifier(parent), "table": sql.Identifier(table)}
                (there,) = await one_row(connection, "SELECT to_regclass(%s) IS NOT NULL", (table,))
                if there:
                    for statement in (
                        "ALTER TABLE {parent} DETACH PARTITION {table}",
                        "DROP TABLE {table}",
                    ):
                        await connection.execute(sql.SQL(statement).format(**names))
            await connection.execute(
                "DELETE FROM exchanges_default WHERE started_at >= %s AND started_at < %s",
                (start, end),
            )
            await sealer.add(
                connection, day, "dropped", Range(0, last), rows, b"", b"", "kept no longer"
            )
    except psycopg.errors.LockNotAvailable:
        return "busy"
    return "dropped"


async def _standing_erasures(
    connection: psycopg.AsyncConnection, sealer: Sealer, now: datetime
) -> tuple[int, int]:
    """Do them again; how many exchanges lost their texts, and how many words about some went."""
    found = await connection.execute(_STANDING, (now - ERASURES_STAND,))
    erased = words = 0
    for erasure, tenant, keys, until in await found.fetchall():
        target = Target(tenant, None if keys is None else tuple(keys))
        done = await again(connection, sealer, erasure, target, until=until, now=now)
        erased += done.erased + done.copies
        words += done.words
    return erased, words


async def _orphans(connection: psycopg.AsyncConnection, sealer: Sealer, now: datetime) -> int:
    """Erase what audits asked of exchanges whose own texts are gone, whatever took them."""
    found = await remains.copies(connection, remains.GONE, held_too=False)
    if not found:
        return 0
    reason = "audits' copies of what is kept no longer"
    erasure = await open_record(connection, "retention", until=now, now=now, by=BY, reason=reason)
    erased = await forget_copies(connection, sealer, found, erasure, now=now)
    await note_done(connection, erasure, sql.SQL("false"), now, erased)
    return erased


async def _prune(
    connection: psycopg.AsyncConnection, now: datetime, default_days: int | None
) -> None:
    """Delete what only the last days need: counts by the minute, records of short jobs."""
    await connection.execute(
        "DELETE FROM monitor_runs WHERE window_end < %s"
        " AND window_end - window_start < interval '5 minutes'",
        (now - RUNS_KEPT,),
    )
    for table in ("exchange_counts", "duration_counts"):
        await connection.execute(
            sql.SQL("DELETE FROM {} WHERE step = 60 AND start < {}").format(
                sql.Identifier(table), now - MINUTES_KEPT
            )
        )
    if default_days is not None:
        await connection.execute(
            "DELETE FROM rejected_records WHERE rejected_at < %s",
            (now - timedelta(days=default_days),),
        )
