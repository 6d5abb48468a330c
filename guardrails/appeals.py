"""How does a blocked caller ask for a second look? By the `appeal_id` in the answer.

An application posts it, with its user's words if there are any; a person then sees the exchange
first of all in the review queue. What became of it can be asked for by the same id.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from guardrails.database.url import libpq_url
from guardrails.exchange_log.moments import CLOCKS_APART, moment_of

REASON_CHARACTERS = 2_000
State = Literal["waiting", "upheld", "overturned"]

_FIND = """
SELECT id, started_at, decision, reasons FROM exchanges
WHERE id = %s AND tenant = %s AND started_at BETWEEN %s AND %s AND erased_at IS NULL
"""
_LODGE = """
INSERT INTO review_items
    (exchange_id, exchange_started_at, side, why, stratum, sampled_at, evidence)
VALUES (%s, %s, %s, 'appeal', 'blocked', %s, %s)
ON CONFLICT (exchange_id, side, why) DO NOTHING
"""
_SAID = """
SELECT count(l.id) FILTER (WHERE l.harmful), count(l.id) FILTER (WHERE NOT l.harmful)
FROM review_items AS i LEFT JOIN review_labels AS l ON l.item_id = i.id
WHERE i.exchange_id = %s AND i.why = 'appeal' HAVING count(i.id) > 0
"""


class Appeal(Struct, frozen=True):
    """An appeal, and whether a person has decided: the block stands, or it was a mistake."""

    appeal_id: str
    state: State


async def lodge(
    url: str, appeal_id: str, tenant: str, *, reason: str | None, by: str, now: datetime
) -> Appeal | None:
    """Put a withheld exchange before the reviewers; None where this tenant has none such.

    To lodge it again changes nothing. An exchange reaches the database some moments after its
    answer, so one that is not found may be so a second later.
    """
    named = _named(appeal_id)
    if named is None:
        return None
    wanted, *span = named
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        row = await (await connection.execute(_FIND, (wanted, tenant, *span))).fetchone()
        if row is None or row[2] not in ("block", "redact"):
            return None
        evidence: dict[str, Any] = {"lodged_by": by}
        if reason:
            evidence["reason"] = reason[:REASON_CHARACTERS]
        side = next((r["side"] for r in row[3] if r["action"] == row[2]), "input")
        await connection.execute(_LODGE, (row[0], row[1], side, now, Jsonb(evidence)))
        return Appeal(str(wanted), await _state(connection, wanted) or "waiting")


async def state_of(url: str, appeal_id: str, tenant: str) -> Appeal | None:
    """What became of an appeal; None where this tenant lodged none such."""
    named = _named(appeal_id)
    if named is None:
        return None
    wanted, *span = named
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        row = await (await connection.execute(_FIND, (wanted, tenant, *span))).fetchone()
        state = None if row is None else await _state(connection, wanted)
    return None if state is None else Appeal(str(wanted), state)


async def _state(connection: psycopg.AsyncConnection, exchange_id: UUID) -> State | None:
    row = await (await connection.execute(_SAID, (exchange_id,))).fetchone()
    if row is None:
        return None
    harmful, harmless = row
    if harmful == harmless:
        return "waiting"
    return "upheld" if harmful > harmless else "overturned"


def _named(appeal_id: str) -> tuple[UUID, datetime, datetime] | None:
    """The exchange's id, and between when it began: an id of ours tells its moment."""
    try:
        wanted = UUID(appeal_id)
    except ValueError:
        return None
    moment = moment_of(wanted)
    return None if moment is None else (wanted, moment - CLOCKS_APART, moment + CLOCKS_APART)
