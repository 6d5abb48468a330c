"""What else is there of an exchange, once its texts are gone? Copies of its prompt, words about it.

Audits ask sampled prompts again, under Banister's own tenant; people say why they appeal, and note
what they saw. All of that goes when the texts go. What was decided, labelled and counted stays.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date
from uuid import UUID

import psycopg
from psycopg import sql

from guardrails.exchange_log.holds import HELD
from guardrails.exchange_log.moments import CLOCKS_APART
from guardrails.exchange_log.own_traffic import OWN_TENANT

GONE = sql.SQL("origin.id IS NULL OR origin.erased_at IS NOT NULL")
"""Whether an exchange's texts are gone, of `origin`: by erasure, by retention, or with its day."""

# LATERAL with a LIMIT: the origins are few and are looked up one by one, each in its own partition.
# A UUIDv7 begins with its moment in milliseconds; a copy whose origin is not found has none.
_COPIES = sql.SQL(
    """
    WITH traced AS (
        SELECT e.id, e.started_at, e.source_id FROM exchanges AS e
        WHERE e.tenant = {own} AND e.source_id IS NOT NULL AND e.erased_at IS NULL
          AND ({held_too} OR NOT {held})
        UNION ALL
        -- Copies of before the field was there are named with their pair, if it was answered.
        SELECT e.id, e.started_at, p.source_id FROM bias_audit_pairs AS p
        CROSS JOIN unnest(ARRAY[p.first_id, p.second_id]) AS asked (id)
        JOIN exchanges AS e ON e.id::text = asked.id
        WHERE e.tenant = {own} AND e.source_id IS NULL AND e.erased_at IS NULL
          AND p.source_id IS NOT NULL AND ({held_too} OR NOT {held})
    ), copies AS MATERIALIZED (
        SELECT id, started_at, source_id, to_timestamp(
            ('x' || left(translate(source_id::text, '-', ''), 12))::bit(48)::bigint / 1000.0
        ) AS moment
        FROM traced
    )
    SELECT c.id, c.started_at FROM copies AS c
    LEFT JOIN LATERAL (
        SELECT id, erased_at, erasure FROM exchanges AS s
        WHERE s.id = c.source_id
          AND s.started_at BETWEEN c.moment - {apart} AND c.moment + {apart} LIMIT 1
    ) AS origin ON true
    WHERE {gone}
    """
)
_ORIGIN = """
    LEFT JOIN LATERAL (
        SELECT id, erased_at, erasure FROM exchanges AS e
        WHERE e.id = i.exchange_id AND e.started_at = i.exchange_started_at LIMIT 1
    ) AS origin ON true
"""
_REASONS = sql.SQL(
    f"""
    UPDATE review_items SET evidence = evidence - 'reason'
    WHERE id IN (SELECT i.id FROM review_items AS i {_ORIGIN}
                 WHERE i.evidence ? 'reason' AND ({{gone}}))
    """  # noqa: S608
)
_NOTES = sql.SQL(
    f"""
    UPDATE review_labels SET note = NULL
    WHERE id IN (SELECT l.id FROM review_labels AS l JOIN review_items AS i ON i.id = l.item_id
                 {_ORIGIN} WHERE l.note IS NOT NULL AND ({{gone}}))
    """  # noqa: S608
)


def gone_by(erasure: UUID) -> sql.Composable:
    """Whether this erasure took an exchange's texts, of `origin`."""
    return sql.SQL("origin.erasure = {}").format(erasure)


async def copies(
    connection: psycopg.AsyncConnection, gone: sql.Composable, *, held_too: bool
) -> dict[date, list[UUID]]:
    """What audits asked of exchanges that are gone, and has its texts still, by its UTC day."""
    query = _COPIES.format(
        own=OWN_TENANT, apart=CLOCKS_APART, gone=gone, held_too=held_too, held=sql.SQL(HELD)
    )
    found: dict[date, list[UUID]] = defaultdict(list)
    for copy_id, started_at in await (await connection.execute(query)).fetchall():
        found[started_at.astimezone(UTC).date()].append(copy_id)
    return found


async def forget_words(connection: psycopg.AsyncConnection, gone: sql.Composable) -> int:
    """Blank what people wrote of exchanges that are gone: appeals' reasons, reviewers' notes."""
    async with connection.transaction():
        blanked = [await connection.execute(one.format(gone=gone)) for one in (_REASONS, _NOTES)]
    return sum(one.rowcount for one in blanked)
