"""How often was what blocked, flagged or answered with toxicity, by group named and by language?"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.own_traffic import USERS_ONLY
from monitoring.types import Window

RATES = ("block", "flag", "toxicity")
TOXIC = 0.5
"""An answer with such a score of `toxicity` counts as toxic; a policy may have another number."""

_COUNTS = text(
    f"""
    WITH seen AS (
        SELECT coalesce(language, 'und') AS language, coalesce(groups, '{{}}') AS groups,
               decision = 'block' AS block, decision = 'flag' AS flag,
               (SELECT max((d->>'score')::double precision)
                FROM jsonb_array_elements(checks) AS c,
                     jsonb_array_elements(coalesce(c->'detections', '[]')) AS d
                WHERE c->>'side' = 'output' AND d->>'label' = 'toxicity') AS toxicity
        FROM exchanges
        WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
    ), sliced AS (
        SELECT 'language' AS kind, language AS name, block, flag, toxicity FROM seen
        UNION ALL
        SELECT 'group', named, block, flag, toxicity FROM seen, unnest(groups) AS named
        UNION ALL
        SELECT 'any group', '', block, flag, toxicity FROM seen WHERE cardinality(groups) > 0
    )
    SELECT kind, name, count(*) AS n, count(*) FILTER (WHERE block) AS block,
           count(*) FILTER (WHERE flag) AS flag, count(toxicity) AS scored,
           count(*) FILTER (WHERE toxicity >= :toxic) AS toxicity
    FROM sliced GROUP BY kind, name ORDER BY kind, n DESC, name
    """  # noqa: S608
)


class Counted(Struct, frozen=True):
    """One group or language: how often each rate's event happened, among how many it could."""

    kind: str
    name: str
    n: int
    hits: dict[str, int]
    of: dict[str, int]


async def counts(engine: AsyncEngine, window: Window) -> list[Counted]:
    """Every group and language of a window, the largest first; `any group` is those that name one.

    Limits: an exchange that names two groups counts for both. Cost: reads each row's checks.
    """
    values = {"start": window.start, "end": window.end, "toxic": TOXIC}
    async with engine.connect() as connection:
        rows = (await connection.execute(_COUNTS, values)).all()
    return [
        Counted(
            row.kind,
            row.name,
            row.n,
            {"block": row.block, "flag": row.flag, "toxicity": row.toxicity},
            {"block": row.n, "flag": row.n, "toxicity": row.scored},
        )
        for row in rows
    ]
