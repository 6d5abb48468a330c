"""How well were the latest answers supported by the passages that they were given?"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Double, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.part_counts import Part
from guardrails.exchange_log.tables import exchanges

LATEST = 20_000
"""Exchanges that are looked at, whatever the span holds: so a page costs the same on any log."""

_c = exchanges.c


class Grounded(Struct, frozen=True):
    """One answer that was held against passages: its sentences, and how many are supported.

    `least` is the support of its weakest sentence, in [0, 1].
    """

    id: UUID
    started_at: datetime
    route: str
    decision: str
    sentences: int
    supported: int
    least: float


class Seen(Struct, frozen=True):
    """The answers among the latest `looked_at` exchanges that had passages, newest first."""

    looked_at: int
    answers: tuple[Grounded, ...]


async def grounded(
    connection: AsyncConnection,
    since: datetime,
    until: datetime,
    part: Part,
    *,
    supported: float = 0.5,
) -> Seen:
    """What the passages say of the answers of a span; a sentence counts from `supported` on."""
    latest = (
        select(_c.id, _c.started_at, _c.route, _c.decision, _c.citations)
        .where(_c.started_at >= since, _c.started_at < until, *part.of_rows())
        .order_by(_c.started_at.desc(), _c.id.desc())
        .limit(LATEST)
        .cte("latest")
    )
    sentence = func.jsonb_array_elements(latest.c.citations).table_valued(
        "value", name="sentence", joins_implicitly=True
    )
    support = sentence.c.value.op("->>")("support").cast(Double)
    keys = (latest.c.id, latest.c.started_at, latest.c.route, latest.c.decision)
    statement = (
        select(
            *keys,
            func.count(),
            func.count().filter(support >= supported),
            func.min(support),
        )
        .group_by(*keys)
        .order_by(latest.c.started_at.desc(), latest.c.id.desc())
    )
    looked_at = await connection.scalar(select(func.count()).select_from(latest))
    rows = await connection.execute(statement)
    return Seen(int(looked_at or 0), tuple(Grounded(*row) for row in rows))
