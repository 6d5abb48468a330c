"""What monitoring reads from the exchange log: counts and scores of one window."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log.own_traffic import USERS_ONLY
from monitoring.types import Window

MAX_EXCHANGES = 20_000

_OUTCOMES = text(
    f"""
    SELECT count(*) AS n,
           count(*) FILTER (WHERE decision = 'flag') AS flag,
           count(*) FILTER (WHERE decision = 'redact') AS redact,
           count(*) FILTER (WHERE decision = 'block') AS block,
           count(*) FILTER (WHERE failure_code IS NOT NULL) AS failed,
           count(*) FILTER (WHERE jsonb_path_exists(checks, '$[*].error')) AS check_failed
    FROM exchanges
    WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
    """  # noqa: S608
)

_REACHED = text(
    f"""
    SELECT count(*) FROM exchanges
    WHERE started_at >= :start AND started_at < :end
      AND upstream IS NOT NULL AND duration_seconds IS NOT NULL AND {USERS_ONLY}
    """  # noqa: S608
)

# The share is drawn by a hash of the id: the same rows each time, and no order of arrival in them.
_SCORES = text(
    f"""
    WITH drawn AS (
        SELECT id, checks FROM exchanges
        WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
          AND abs(uuid_hash(id)::bigint) % 1000000 < :per_million
    ), highest AS (
        SELECT c->>'detector' AS detector, c->>'side' AS side, d->>'label' AS label,
               max((d->>'score')::double precision) AS score
        FROM drawn, jsonb_array_elements(checks) AS c, jsonb_array_elements(c->'detections') AS d
        GROUP BY drawn.id, 1, 2, 3
    )
    SELECT detector, side, label, array_agg(score) AS scores
    FROM highest GROUP BY detector, side, label ORDER BY detector, side, label
    """  # noqa: S608
)


class Outcomes(Struct, frozen=True):
    """How many exchanges began in a window, and how many of them ended in each way.

    `check_failed` counts those in which at least one check could not run.
    """

    n: int
    flag: int
    redact: int
    block: int
    failed: int
    check_failed: int


class Scores(Struct, frozen=True):
    """The highest score of each label in each exchange, by `detector/label on side`."""

    n: int
    columns: dict[str, list[float]]


async def outcomes(engine: AsyncEngine, window: Window) -> Outcomes:
    """Count a window's exchanges by outcome."""
    async with engine.connect() as connection:
        row = (await connection.execute(_OUTCOMES, _span(window))).one()
    return Outcomes(**row._mapping)


async def reached(connection: AsyncConnection, window: Window) -> int:
    """How many of a window's exchanges reached a model: the n of its percentiles of duration."""
    return (await connection.execute(_REACHED, _span(window))).scalar_one()


async def scores(
    engine: AsyncEngine, window: Window, *, max_exchanges: int = MAX_EXCHANGES
) -> Scores:
    """Every detector's scores over a window.

    Shape:  `n` counts the window's exchanges; each column has one number for each exchange drawn
            in which that label was scored.
    Units:  probabilities in [0, 1].
    Limits: about `max_exchanges`, drawn by the hash of the id, where there are more.
    """
    async with engine.connect() as connection:
        n = (await outcomes(engine, window)).n
        per_million = 1_000_000 if n <= max_exchanges else 1_000_000 * max_exchanges // n
        rows = await connection.execute(_SCORES, {**_span(window), "per_million": per_million})
        columns = {f"{row.detector}/{row.label} on {row.side}": list(row.scores) for row in rows}
    return Scores(n, columns)


def _span(window: Window) -> dict[str, object]:
    return {"start": window.start, "end": window.end}
