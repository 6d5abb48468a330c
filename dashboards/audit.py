"""Who did what, and who looked at which text? One row each in `audit_log`, which only grows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.people_tables import audit_log

_c = audit_log.c


class Entry(Struct, frozen=True):
    """One act of one person."""

    id: int
    at: datetime
    who: str
    action: str
    target: str
    detail: Mapping[str, Any]


async def record(
    connection: AsyncConnection,
    who: str,
    action: str,
    target: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write an act in the transaction of what it did, so that neither stands without the other.

    `action` is a word or two with a dot (`exchange.open`); `detail` holds no user's text but what a
    person looked for.
    """
    row = {"who": who, "action": action, "target": target, "detail": dict(detail or {})}
    await connection.execute(insert(audit_log).values(row))


async def latest(
    connection: AsyncConnection,
    limit: int,
    *,
    before: int | None = None,
    who: str | None = None,
    action: str | None = None,
) -> list[Entry]:
    """The newest acts first; `action` is one, or a room of them (`exchange`)."""
    statement = select(audit_log).order_by(_c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(_c.id < before)
    if who is not None:
        statement = statement.where(_c.who == who)
    if action is not None:
        statement = statement.where(func.starts_with(_c.action, action))
    rows = await connection.execute(statement)
    return [Entry(**row._mapping) for row in rows]
