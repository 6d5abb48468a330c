"""Review sample: which exchanges of the last six hours should people judge?

Some by chance, with a known probability in each stratum, so that rates of harm can be estimated
from their labels; and some where the detectors are least sure, for those teach the most. Chance is
the hash of the exchange's id: a window that is run again samples the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.own_traffic import OWN_TENANT
from monitoring.reviews import Item, Side, add_items
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(hours=6)
A_STRATUM = 5
UNCERTAIN = 5
NEAR = 0.3
"""An exchange that no rule fired on is near when some label scored this high."""
STRATA = ("blocked", "flagged", "near", "plain")

# Where the deciding score stands: the reason's of one that fired, the highest one of any other.
_ROWS = """
WITH rows AS (
    SELECT id, started_at, decision, jsonb_array_length(outputs) > 0 AS answered,
           (SELECT min(abs((r->>'score')::float8 - (r->>'threshold')::float8))
              FROM jsonb_array_elements(reasons) AS r
             WHERE r->>'score' IS NOT NULL
               AND NOT coalesce((r->>'shadow')::boolean, false)) AS margin,
           (SELECT r->>'side' FROM jsonb_array_elements(reasons) AS r
             ORDER BY (r->>'action' = 'block') DESC LIMIT 1) AS side_fired,
           top.score, top.side AS side_scored
    FROM exchanges AS e LEFT JOIN LATERAL (
        SELECT (d->>'score')::float8 AS score, c->>'side' AS side
        FROM jsonb_array_elements(e.checks) AS c,
             jsonb_array_elements(coalesce(c->'detections', '[]')) AS d
        WHERE c->>'detector' <> 'patterns' AND d->>'label' NOT IN ('grounded', 'ungrounded')
        ORDER BY 1 DESC NULLS LAST LIMIT 1) AS top ON true
    WHERE started_at >= :start AND started_at < :end AND erased_at IS NULL
      AND failure_code IS NULL AND tenant <> :own
), strata AS (
    SELECT *, CASE WHEN decision = 'block' THEN 'blocked'
                   WHEN decision IN ('flag', 'redact') THEN 'flagged'
                   WHEN score >= :near THEN 'near' ELSE 'plain' END AS stratum
    FROM rows
)
"""
_BY_CHANCE = text(
    _ROWS  # noqa: S608 - no value is in it
    + """
SELECT id, started_at, stratum, answered, n FROM (
    SELECT *, count(*) OVER (PARTITION BY stratum) AS n,
           row_number() OVER (PARTITION BY stratum ORDER BY md5(id::text || 'review')) AS place
    FROM strata) AS numbered
WHERE place <= :each ORDER BY stratum, place
"""
)
_UNSURE = text(
    _ROWS
    + """
SELECT id, started_at, stratum, margin, score,
       coalesce(CASE WHEN stratum = 'near' THEN side_scored ELSE side_fired END, 'input') AS side
FROM strata WHERE stratum = 'near' OR margin IS NOT NULL
ORDER BY CASE WHEN stratum = 'near' THEN 1 - score ELSE margin END, id LIMIT :most
"""
)


class Sampled(Struct, frozen=True):
    """What was taken of a window, and how many each stratum holds."""

    items: tuple[Item, ...]
    sizes: dict[str, int]


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Put the window's samples into the queue."""
    found = await sample(engine, window, now=window.end)
    n = sum(found.sizes.values())
    if not n:
        return Outcome(Status.NO_DATA, 0, "no exchange to sample from")
    added = await add_items(engine, found.items)
    figures = tuple(
        Figure(f"probability of {name}", min(1.0, A_STRATUM / size), "share", size)
        for name, size in sorted(found.sizes.items())
    )
    return Outcome(Status.OK, n, f"{added} items to review, of {n:,} exchanges", figures)


async def sample(engine: AsyncEngine, window: Window, *, now: datetime) -> Sampled:
    """The items of a window; both sides of an exchange have its probability.

    Cost: about 20 µs of Postgres for each exchange of the window.
    """
    span = {"start": window.start, "end": window.end, "own": OWN_TENANT, "near": NEAR}
    async with engine.connect() as connection:
        chosen = (await connection.execute(_BY_CHANCE, {**span, "each": A_STRATUM})).all()
        unsure = (await connection.execute(_UNSURE, {**span, "most": UNCERTAIN})).all()
    items = []
    for row in chosen:
        sides = ("input", "output") if row.answered else ("input",)
        items += [
            _item(row, side, window, now, probability=min(1.0, A_STRATUM / row.n)) for side in sides
        ]
    items += [_item(row, row.side, window, now) for row in unsure]
    return Sampled(tuple(items), _sizes(chosen))


def _item(
    row: Any, side: str, window: Window, now: datetime, *, probability: float | None = None
) -> Item:
    return Item(
        exchange_id=cast(UUID, row.id),
        exchange_started_at=row.started_at,
        side=cast(Side, side),
        why="uncertain" if probability is None else "random",
        probability=probability,
        stratum=row.stratum,
        window=window,
        sampled_at=now,
    )


def _sizes(rows: Sequence[Any]) -> dict[str, int]:
    return {row.stratum: row.n for row in rows}
