"""What must not be erased, whatever retention or a request for erasure says?

A hold names a tenant, an end user, one exchange or a span of time; what it leaves open is all.
`legal` ones are made by people, and by people released; `evidence` ones by the monitor for the
exchanges of an alert, until some time after its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from guardrails.exchange_log.one_row import one_row

HELD = """
EXISTS (SELECT FROM holds AS h WHERE h.released_at IS NULL
        AND (h.tenant IS NULL OR h.tenant = e.tenant)
        AND (h.end_user IS NULL OR h.end_user = exchange_end_user(e.request))
        AND (h.exchange_id IS NULL OR h.exchange_id = e.id)
        AND (h.since IS NULL OR e.started_at >= h.since)
        AND (h.until IS NULL OR e.started_at < h.until))
"""
"""Whether a row of `exchanges AS e` is held, in SQL."""

_EVIDENCE = "evidence of alert "
_RELEASE_EVIDENCE = """
UPDATE holds AS h SET released_at = %s FROM alerts AS a
WHERE h.kind = 'evidence' AND h.released_at IS NULL AND h.reason = %s || a.id::text
  AND a.state = 'resolved' AND a.resolved_at < %s
"""


class Hold(Struct, frozen=True):
    """One hold, as it stands in `holds`; None holds all."""

    id: UUID
    kind: Literal["legal", "evidence"]
    tenant: str | None
    exchange_id: UUID | None
    since: datetime | None
    until: datetime | None
    reason: str
    made_at: datetime
    made_by: str


async def hold(
    connection: psycopg.AsyncConnection,
    *,
    reason: str,
    by: str,
    kind: Literal["legal", "evidence"] = "legal",
    tenant: str | None = None,
    end_user_names: Sequence[str] | None = None,
    exchange_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[UUID]:
    """Keep what is named until it is released; one hold for each name of an end user."""
    keys = [None] if end_user_names is None else [end_user_key(name) for name in end_user_names]
    made = []
    for key in keys:
        (hold_id,) = await one_row(
            connection,
            "INSERT INTO holds (kind, tenant, end_user, exchange_id, since, until, reason, made_by)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            (kind, tenant, key, exchange_id, since, until, reason, by),
        )
        made.append(hold_id)
    return made


async def release(connection: psycopg.AsyncConnection, hold_id: UUID, now: datetime) -> bool:
    """End a hold; False where there is none such. What is due goes with the next run."""
    done = await connection.execute(
        "UPDATE holds SET released_at = %s WHERE id = %s AND released_at IS NULL", (now, hold_id)
    )
    return done.rowcount == 1


async def hold_evidence(
    connection: psycopg.AsyncConnection, alert_id: UUID, exchange_id: UUID
) -> None:
    """Keep an exchange that shows what an alert is about."""
    await hold(
        connection,
        reason=f"{_EVIDENCE}{alert_id}",
        by="monitor",
        kind="evidence",
        exchange_id=exchange_id,
    )


async def release_evidence(
    connection: psycopg.AsyncConnection, after: timedelta, now: datetime
) -> int:
    """End the holds on the exchanges of alerts that were resolved so long ago; how many."""
    done = await connection.execute(_RELEASE_EVIDENCE, (now, _EVIDENCE, now - after))
    return done.rowcount


async def holding(connection: psycopg.AsyncConnection) -> list[Hold]:
    """Every hold that still holds, oldest first."""
    async with connection.cursor(row_factory=class_row(Hold)) as cursor:
        await cursor.execute(
            "SELECT id, kind, tenant, exchange_id, since, until, reason, made_at, made_by"
            " FROM holds WHERE released_at IS NULL ORDER BY made_at, id"
        )
        return await cursor.fetchall()


def end_user_key(name: str) -> str:
    """What SQL's `exchange_end_user` makes of a name: an index key, no secret."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
