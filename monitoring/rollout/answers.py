"""Which version of each model answered at some time? By its rollouts, and by what was recorded."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

AROUND = timedelta(minutes=5)

_AT = text(
    """
    WITH said AS (
        SELECT DISTINCT ON (r.model) r.model, r.champion, r.candidate, e.share, r.id
        FROM rollout_events AS e JOIN rollouts AS r ON r.id = e.rollout_id
        WHERE e.at <= :moment ORDER BY r.model, e.at DESC, e.id DESC
    ), should AS (
        SELECT model, champion AS version, 1 - share AS share, id FROM said WHERE share < 1
        UNION ALL SELECT model, candidate, share, id FROM said WHERE share > 0
    ), did AS (
        SELECT regexp_replace(upstream_model, '@[^@]*$', '') AS model, upstream_model AS version,
               count(*) AS answered
        FROM exchanges
        WHERE started_at >= :since AND started_at < :until AND upstream_model IS NOT NULL
        GROUP BY 1, 2
    )
    SELECT coalesce(should.model, did.model), coalesce(should.version, did.version), share,
           coalesce(answered, 0), id
    FROM should FULL JOIN did ON did.version = should.version
    ORDER BY 1, share DESC NULLS LAST, 2
    """
)


class Answered(Struct, frozen=True):
    """One version at one time.

    `share` of conversations is what a rollout gave it, None where none says; `answered` counts the
    exchanges that it answered within AROUND of the time.
    """

    model: str
    version: str
    share: float | None
    answered: int
    rollout_id: UUID | None


async def at(engine: AsyncEngine, moment: datetime) -> list[Answered]:
    """Every version that should have served at a moment, or did around it. One query."""
    values = {"moment": moment, "since": moment - AROUND, "until": moment + AROUND}
    async with engine.connect() as connection:
        return [Answered(*row) for row in await connection.execute(_AT, values)]
