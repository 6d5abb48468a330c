"""How does the log forget what somebody said, and still prove that nothing else was touched?

The texts of a row go, with the salt of their digest; the digest stays in their place, so that the
seal of the row still holds and nobody can guess the texts from it. Each erasure stands in
`erasures`, and in the chain of each day that it touched. It follows the texts to where they were
copied or quoted: `remains.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg import sql

from guardrails.exchange_log import remains
from guardrails.exchange_log.chain import Sealer, span_of
from guardrails.exchange_log.holds import HELD, end_user_key
from guardrails.exchange_log.one_row import one_row
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.privacy import end_user

ROWS_AT_ONCE = 2_000
NO_SALT = UUID(int=0)

_TOMBSTONE = sql.SQL(
    """
    UPDATE exchanges AS e SET text_digest = exchange_text_digest(e), salt = {salt},
        request = '{{}}', prompt = NULL, completion = NULL, answer = NULL, inputs = '[]',
        outputs = '[]', passages = '[]', uncovered = '[]', erased_at = {now}, erasure = {erasure}
    FROM (SELECT e.id FROM exchanges AS e
          WHERE e.started_at >= {start} AND e.started_at < {end} AND e.erased_at IS NULL
            AND {which} AND NOT {held} LIMIT {limit}) AS chosen
    WHERE e.id = chosen.id AND e.started_at >= {start} AND e.started_at < {end}
      AND e.erased_at IS NULL
    RETURNING e.id
    """
)
_HELD = sql.SQL(
    """
    SELECT count(*) FROM exchanges AS e
    WHERE e.started_at < {until} AND e.erased_at IS NULL AND {which} AND {held}
    """
)
_FORGET = sql.SQL("DELETE FROM {} WHERE started_at >= %s AND started_at < %s AND id = ANY (%s)")
_DAYS = sql.SQL(
    """
    SELECT DISTINCT (e.started_at AT TIME ZONE 'UTC')::date FROM exchanges AS e
    WHERE e.started_at < {until} AND e.erased_at IS NULL AND {which} ORDER BY 1
    """
)


class Target(Struct, frozen=True):
    """Whose exchanges: of a tenant, and of one end user of it by every name that it has.

    `end_user_keys` are what `end_user_key` gives of the name and of its pseudonym. What is None is
    not asked for.
    """

    tenant: str | None = None
    end_user_keys: tuple[str, ...] | None = None

    @property
    def which(self) -> sql.Composable:
        """The condition on `exchanges AS e`."""
        conditions: list[sql.Composable] = []
        if self.tenant is not None:
            conditions.append(sql.SQL("e.tenant = {}").format(self.tenant))
        if self.end_user_keys is not None:
            keys = list(self.end_user_keys)
            conditions.append(sql.SQL("exchange_end_user(e.request) = ANY ({})").format(keys))
        return sql.SQL(" AND ").join(conditions)


class Erased(Struct, frozen=True):
    """What one erasure did; `held` rows are under a hold and stay.

    `copies` are exchanges in which an audit asked such a prompt again, `words` the reasons of
    appeals and the notes of reviewers, `rejected` the records that Postgres had refused.
    """

    id: UUID
    erased: int
    held: int
    rejected: int = 0
    copies: int = 0
    words: int = 0


async def erase(
    connection: psycopg.AsyncConnection,
    sealer: Sealer,
    target: Target,
    *,
    now: datetime,
    by: str,
    reason: str,
) -> Erased:
    """Forget all texts of a target that were recorded until `now`.

    It is done again by the retention job for a month, for what was still on its way (in a spool),
    and for what a hold kept. The connection must be in autocommit; each batch is a transaction of
    its own. Cost: about 0.2 ms a row. Errors: ValueError for a target that names nobody.
    """
    if target.tenant is None:
        raise ValueError("name the tenant: end users of different tenants may share a name")
    (erasure,) = await one_row(
        connection,
        "INSERT INTO erasures (kind, tenant, end_users, until, requested_at, requested_by, reason)"
        " VALUES ('request', %s, %s, %s, %s, %s, %s) RETURNING id",
        (target.tenant, _list(target.end_user_keys), now, now, by, reason),
    )
    return await again(connection, sealer, erasure, target, until=now, now=now)


async def again(
    connection: psycopg.AsyncConnection,
    sealer: Sealer,
    erasure: UUID,
    target: Target,
    *,
    until: datetime,
    now: datetime,
) -> Erased:
    """Do an erasure that is on record, once more: rows that it already took are not touched."""
    erased = 0
    query = _DAYS.format(until=until, which=target.which)
    for (day,) in await (await connection.execute(query)).fetchall():
        erased += await forget(connection, sealer, day, target.which, erasure, now=now, until=until)
    gone = remains.gone_by(erasure)
    traced = await remains.copies(connection, gone, held_too=True)
    copies = await forget_copies(connection, sealer, traced, erasure, now=now)
    words = await remains.forget_words(connection, gone)
    rejected = await _forget_rejected(connection, target, until)
    ids = [one for some in traced.values() for one in some]
    which = sql.SQL("({} OR e.id = ANY ({}))").format(target.which, ids)
    held = await note_done(connection, erasure, which, until, erased + copies)
    return Erased(erasure, erased, held, rejected, copies, words)


async def forget(
    connection: psycopg.AsyncConnection,
    sealer: Sealer,
    day: date,
    which: sql.Composable,
    erasure: UUID,
    *,
    now: datetime,
    until: datetime | None = None,
) -> int:
    """Erase the texts of a day's rows that `which` names and no hold keeps; how many."""
    start, end = span_of(day)
    end = end if until is None else min(end, until)
    query = _TOMBSTONE.format(
        salt=NO_SALT,
        now=now,
        erasure=erasure,
        start=start,
        end=end,
        which=which,
        held=sql.SQL(HELD),
        limit=ROWS_AT_ONCE,
    )
    erased = 0
    while True:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            ids = [one for (one,) in await (await connection.execute(query)).fetchall()]
            if not ids:
                return erased
            for table in ("exchange_texts", "exchange_embeddings"):
                await connection.execute(_FORGET.format(sql.Identifier(table)), (start, end, ids))
            await sealer.add_erasure(connection, day, ids, erasure)
        erased += len(ids)


async def forget_copies(
    connection: psycopg.AsyncConnection,
    sealer: Sealer,
    copies: Mapping[date, Sequence[UUID]],
    erasure: UUID,
    *,
    now: datetime,
) -> int:
    """Erase the texts of what audits asked, by day, where no hold keeps it; how many."""
    erased = 0
    for day, ids in sorted(copies.items()):
        which = sql.SQL("e.id = ANY ({})").format(list(ids))
        erased += await forget(connection, sealer, day, which, erasure, now=now)
    return erased


async def note_done(
    connection: psycopg.AsyncConnection,
    erasure: UUID,
    which: sql.Composable,
    until: datetime,
    erased: int,
) -> int:
    """Write down what an erasure did by now; how many rows a hold keeps from it."""
    query = _HELD.format(until=until, which=which, held=sql.SQL(HELD))
    (held,) = await one_row(connection, query)
    await connection.execute(
        "UPDATE erasures SET erased = erased + %s, held = %s WHERE id = %s",
        (erased, held, erasure),
    )
    return int(held)


async def open_record(
    connection: psycopg.AsyncConnection,
    kind: Literal["request", "retention"],
    *,
    until: datetime,
    now: datetime,
    by: str,
    reason: str,
) -> UUID:
    """Put on record that texts are about to be erased, and why."""
    (erasure,) = await one_row(
        connection,
        "INSERT INTO erasures (kind, until, requested_at, requested_by, reason)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING id",
        (kind, until, now, by, reason),
    )
    return UUID(str(erasure))


def names_of(name: str, pseudonym: str) -> tuple[str, ...]:
    """The keys under which an end user may stand: its name, and the pseudonym for it."""
    return (end_user_key(name), end_user_key(pseudonym))


async def _forget_rejected(
    connection: psycopg.AsyncConnection, target: Target, until: datetime
) -> int:
    """Delete what Postgres had refused of the target; a record that cannot be read goes too."""
    found = await connection.execute(
        "SELECT sha256, record FROM rejected_records WHERE rejected_at < %s", (until,)
    )
    doomed = [digest for digest, record in await found.fetchall() if _is_of(target, bytes(record))]
    await connection.execute("DELETE FROM rejected_records WHERE sha256 = ANY (%s)", (doomed,))
    return len(doomed)


def _is_of(target: Target, record: bytes) -> bool:
    try:
        read: Any = json.loads(record)
        tenant, user = read["caller"]["tenant"], end_user(read["request"])
    except (ValueError, TypeError, KeyError):
        return True
    if tenant == OWN_TENANT:
        # An audit's copy, of nobody knows whom: its measures are kept elsewhere, nobody misses it.
        return True
    if tenant != target.tenant:
        return False
    if target.end_user_keys is None:
        return True
    return user is not None and end_user_key(user) in target.end_user_keys


def _list(keys: Sequence[str] | None) -> list[str] | None:
    return None if keys is None else list(keys)
