"""What came of each conversation under a rollout? Its first exchange, read from the log, each once.

A row is new where the snapshot of the last reading did not see it: nothing is missed however late a
commit is, and nothing waits for other transactions. A conversation that was counted is remembered,
so that its later turns, which are its own and not chance, do not count as more evidence.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitoring.rollout.evidence import Counts, Seen
from monitoring.rollout.records import Rollout

_NOW = text("SELECT pg_current_snapshot()::text")
# A log that was restored from a dump has a shift between its numbers and this server's.
_NEW = text(
    """
    WITH shift AS MATERIALIZED (
        SELECT coalesce((SELECT xact FROM log_progress WHERE job = 'shift'), 0) AS by
    ), fresh AS (
        SELECT DISTINCT ON (e.conversation) e.*
        FROM exchanges AS e, shift
        WHERE e.started_at >= :since AND e.gen_ai_request_model = :model
          AND e.assigned_model IN (:champion, :candidate) AND e.conversation IS NOT NULL
          AND (e.upstream IS NOT NULL OR e.failure_code LIKE 'upstream%')
          AND e.xact >= pg_snapshot_xmin(CAST(:seen AS pg_snapshot))::text::bigint + shift.by
          AND NOT pg_visible_in_snapshot(
                  (e.xact - shift.by)::text::xid8, CAST(:seen AS pg_snapshot))
        ORDER BY e.conversation, e.started_at, e.id
    ), counted AS (
        INSERT INTO rollout_conversations (rollout_id, conversation)
        SELECT :rollout, conversation FROM fresh ORDER BY conversation
        ON CONFLICT DO NOTHING RETURNING conversation
    )
    SELECT assigned_model = :candidate AS candidate,
           abandoned OR attempts > 1 OR upstream_model IS DISTINCT FROM assigned_model
               OR coalesce(failure_code LIKE 'upstream%', false) AS error,
           upstream_model = assigned_model AND failure_code IS NULL AND NOT abandoned AS answered,
           duration_seconds AS seconds,
           EXISTS (SELECT FROM jsonb_array_elements(checks) AS c WHERE c->>'side' = 'output')
               AND NOT EXISTS (
                   SELECT FROM jsonb_array_elements(checks) AS c
                   WHERE c->>'side' = 'output' AND c->>'error' IS NOT NULL) AS checked,
           EXISTS (SELECT FROM jsonb_array_elements(reasons) AS r
                   WHERE r->>'side' = 'output' AND r->>'action' = 'block'
                     AND r->>'shadow' IS DISTINCT FROM 'true') AS block,
           EXISTS (SELECT FROM jsonb_array_elements(reasons) AS r
                   WHERE r->>'side' = 'output'
                     AND r->>'shadow' IS DISTINCT FROM 'true') AS flag,
           (SELECT max((d->>'score')::float8)
            FROM jsonb_array_elements(checks) AS c,
                 jsonb_array_elements(coalesce(c->'detections', '[]')) AS d
            WHERE c->>'side' = 'output') AS toxicity,
           (SELECT 1 - avg((c->>'support')::float8)
            FROM jsonb_array_elements(citations) AS c) AS ungrounded
    FROM fresh JOIN counted USING (conversation)
    ORDER BY started_at, id
    """
)
# Only what was drawn by chance: what people appeal against is no fair sample of either version.
_FEEDBACK = text(
    """
    WITH judged AS (
        SELECT e.conversation, e.assigned_model = :candidate AS candidate, bool_or(harmful) AS bad
        FROM review_items AS i
        JOIN review_labels AS l ON l.item_id = i.id
        JOIN exchanges AS e ON e.id = i.exchange_id AND e.started_at = i.exchange_started_at
        WHERE i.side = 'output' AND i.why = 'random' AND l.harmful IS NOT NULL
          AND i.exchange_started_at >= :since AND e.gen_ai_request_model = :model
          AND e.assigned_model IN (:champion, :candidate) AND e.upstream_model = e.assigned_model
        GROUP BY 1, 2
    )
    SELECT count(*) FILTER (WHERE candidate AND bad), count(*) FILTER (WHERE candidate),
           count(*) FILTER (WHERE NOT candidate AND bad), count(*) FILTER (WHERE NOT candidate)
    FROM judged
    """
)


NOTHING = "3:3:"
"""The snapshot that has seen no row at all."""


async def snapshot(connection: AsyncConnection) -> str:
    """What this transaction sees: the next reading begins after it."""
    return str((await connection.execute(_NOW)).scalar_one())


async def new(connection: AsyncConnection, rollout: Rollout, seen: str) -> list[Seen]:
    """The conversations that nobody counted yet, in the order of their first exchange.

    The transaction must be REPEATABLE READ, so that it reads no more than its snapshot says.
    """
    values = {**_names(rollout), "rollout": rollout.id, "seen": seen}
    return [_seen(row) for row in await connection.execute(_NEW, values)]


async def feedback(connection: AsyncConnection, rollout: Rollout) -> Counts:
    """What reviewers said so far of either version's answers."""
    k, m, hits, n = (await connection.execute(_FEEDBACK, _names(rollout))).one()
    return k, m, hits, n


def _names(rollout: Rollout) -> dict[str, Any]:
    return {
        "model": rollout.model,
        "champion": rollout.champion,
        "candidate": rollout.candidate,
        "since": rollout.started_at,
    }


def _seen(row: Row[Any]) -> Seen:
    hits, numbers = {"error": row.error}, {}
    if row.answered:
        if row.checked:
            hits |= {"block": row.block, "flag": row.flag}
            if row.toxicity is not None:
                numbers["toxicity"] = row.toxicity
        if row.ungrounded is not None:
            numbers["ungrounded"] = row.ungrounded
        if row.seconds is not None:
            numbers["slow"] = row.seconds
    return Seen(row.candidate, hits, numbers)
