"""Which exchanges show what an alert is about? A few of its window and slice, held as evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log import holds
from monitoring.alerts.rules import Signal
from monitoring.alerts.types import Alert
from monitoring.drift.descriptors import REFUSAL
from monitoring.types import Figure

MOST = 10
"""Exchanges that one look adds."""
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_FAILED_CHECK = "jsonb_path_exists(checks, '$[*].error')"
_WHERE = {
    "block": "decision = 'block'",
    "flag": "decision = 'flag'",
    "redact": "decision = 'redact'",
    "error": "failure_code IS NOT NULL",
    "refusal": "EXISTS (SELECT FROM jsonb_array_elements(outputs) AS said"
    " WHERE translate(left(said->>'text', 200), '’', '''') ~* :refusal)",
    "no_check": f"(jsonb_array_length(checks) = 0 OR {_FAILED_CHECK})",
    "failed open": f"{_FAILED_CHECK} AND decision <> 'block' AND failure_code IS NULL",
    "guard unavailable": "failure_code = 'guard_unavailable'",
}
_COLUMNS = {"route": "route", "tenant": "tenant", "model": "gen_ai_request_model"}

# The highest scores of one label on one side: `toxicity/insult on input`.
_BY_SCORE = """
    SELECT id::text FROM (
        SELECT e.id, max((d->>'score')::double precision) AS score
        FROM exchanges AS e, jsonb_array_elements(checks) AS c,
             jsonb_array_elements(coalesce(c->'detections', '[]')) AS d
        WHERE started_at >= :start AND started_at < :end AND {slice}
          AND (c->>'detector') || '/' || (d->>'label') || ' on ' || (c->>'side') = :metric
        GROUP BY e.id ORDER BY score DESC, e.id LIMIT :most) AS highest
"""
_BY_EVENT = """
    SELECT id::text FROM exchanges
    WHERE started_at >= :start AND started_at < :end AND {slice} AND {event}
    ORDER BY started_at DESC, id LIMIT :most
"""


async def shown_by(engine: AsyncEngine, signal: Signal) -> tuple[str, ...]:
    """Ids of exchanges that show a signal: those its figures name, else some of its window.

    None for what no single exchange can show, as a collapse of traffic or a job that failed.
    """
    named = _named(signal.evidence.figures)
    metric, span = signal.labels.get("metric"), signal.evidence
    if named or metric is None or span.window_start is None or span.window_end is None:
        return named
    if metric in _WHERE:
        statement = _BY_EVENT.replace("{event}", _WHERE[metric])
    elif "/" in metric:
        statement = _BY_SCORE
    else:
        return ()
    column = next((_COLUMNS[name] for name in _COLUMNS if name in signal.labels), None)
    where = "true" if column is None else f"{column} = :value"
    values = {
        "start": span.window_start,
        "end": span.window_end,
        "most": MOST,
        "metric": metric,
        "refusal": REFUSAL,
        "value": signal.labels["slice"].partition("=")[2],
    }
    query = text(statement.replace("{slice}", where))
    used = {name: value for name, value in values.items() if f":{name}" in query.text}
    async with engine.connect() as connection:
        return tuple((await connection.execute(query, used)).scalars())


def _named(figures: Sequence[Figure]) -> tuple[str, ...]:
    found = [one for figure in figures if figure.note for one in _ID.findall(figure.note)]
    return tuple(dict.fromkeys(found))[: 2 * MOST]


async def hold_evidence(
    connection: AsyncConnection, alert: Alert, before: Sequence[str] = ()
) -> int:
    """Keep an alert's exchanges from retention and erasure; those `before` are held already.

    In the caller's transaction: an alert without its evidence must not be. How many are new.
    """
    new = [one for one in alert.evidence.exchange_ids if one not in before]
    raw = (await connection.get_raw_connection()).driver_connection
    assert isinstance(raw, psycopg.AsyncConnection)  # noqa: S101  the only driver that we use
    for exchange_id in new:
        await holds.hold_evidence(raw, alert.id, UUID(exchange_id))
    return len(new)
