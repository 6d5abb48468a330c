"""What does the weekly report count in the log?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.own_traffic import USERS_ONLY
from monitoring.types import Window

Rows = list[Row[Any]]

SUPPORTED = 0.5
"""A sentence with so much support by the passages counts as grounded."""

_IN = f"started_at >= :start AND started_at < :end AND {USERS_ONLY}"

_PER_STEP = text(
    f"""
    SELECT date_bin(:step, started_at, :start) AS start, count(*) AS n,
           count(*) FILTER (WHERE decision = 'allow') AS allow,
           count(*) FILTER (WHERE decision = 'flag') AS flag,
           count(*) FILTER (WHERE decision = 'redact') AS redact,
           count(*) FILTER (WHERE decision = 'block') AS block,
           count(*) FILTER (WHERE failure_code IS NOT NULL) AS failed,
           count(*) FILTER (WHERE jsonb_array_length(checks) = 0
                            OR jsonb_path_exists(checks, '$[*].error')) AS unchecked,
           count(*) FILTER (WHERE jsonb_array_length(citations) > 0) AS cited,
           count(*) FILTER (WHERE jsonb_array_length(citations) > 0 AND NOT jsonb_path_exists(
               citations, '$[*] ? (@.support < $least)',
               jsonb_build_object('least', CAST(:supported AS float)))) AS grounded,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds)
               FILTER (WHERE upstream IS NOT NULL) AS p50,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds)
               FILTER (WHERE upstream IS NOT NULL) AS p95,
           count(duration_seconds) FILTER (WHERE upstream IS NOT NULL) AS reached
    FROM exchanges WHERE {_IN} GROUP BY 1 ORDER BY 1
    """  # noqa: S608
)
_QUANTILES = text(
    f"""
    SELECT percentile_cont(CAST(:shares AS float[])) WITHIN GROUP (ORDER BY duration_seconds)
               AS whole,
           percentile_cont(CAST(:shares AS float[])) WITHIN GROUP (ORDER BY guard) AS guard
    FROM (SELECT duration_seconds,
                 duration_seconds - coalesce((seconds->>'model')::float, 0) AS guard
          FROM exchanges
          WHERE {_IN} AND upstream IS NOT NULL AND duration_seconds IS NOT NULL) AS reached
    """  # noqa: S608
)
_SLICES = text(
    f"""
    SELECT kind, name, count(*) AS n, count(*) FILTER (WHERE decision = 'block') AS blocked
    FROM (SELECT decision, route, tenant, gen_ai_request_model AS model,
                 coalesce(language, 'und') AS language
          FROM exchanges WHERE {_IN}) AS seen,
         LATERAL (VALUES ('route', route), ('tenant', tenant), ('model', model),
                         ('language', language)) AS of (kind, name)
    GROUP BY kind, name ORDER BY kind, n DESC, name
    """  # noqa: S608
)
_CATEGORIES = text(
    f"""
    SELECT label, action, count(*) AS n
    FROM (SELECT DISTINCT id, r->>'label' AS label, r->>'action' AS action
          FROM exchanges, jsonb_array_elements(reasons) AS r
          WHERE {_IN} AND r->>'action' <> 'allow'
            AND NOT coalesce((r->>'shadow')::boolean, false)) AS fired
    GROUP BY label, action ORDER BY n DESC, label, action
    """  # noqa: S608
)
_UNCOVERED = text(
    f"""
    SELECT coalesce(nullif(split_part(part, ': ', 2), ''), part) AS what,
           count(DISTINCT id) AS n
    FROM exchanges, jsonb_array_elements_text(uncovered) AS part
    WHERE {_IN} GROUP BY 1 ORDER BY n DESC, what LIMIT 8
    """  # noqa: S608
)
_UNCHECKED = text(
    f"""
    SELECT c->>'detector' AS detector, left(c->>'error', 80) AS error,
           decision IN ('allow', 'flag') AND failure_code IS NULL AS served,
           count(DISTINCT id) AS n
    FROM exchanges, jsonb_array_elements(checks) AS c
    WHERE {_IN} AND c->>'error' IS NOT NULL GROUP BY 1, 2, 3 ORDER BY n DESC, 1, 2, 3 LIMIT 8
    """  # noqa: S608
)
_FAILURES = text(
    f"""
    SELECT failure_code AS what, count(*) AS n FROM exchanges
    WHERE {_IN} AND failure_code IS NOT NULL GROUP BY 1 ORDER BY n DESC, what LIMIT 8
    """  # noqa: S608
)
_VERSIONS = text(
    f"""
    SELECT kind, name, min(started_at) AS first
    FROM exchanges, LATERAL (VALUES ('policy', policy_version), ('template', template_hash),
                                    ('model', upstream_model)) AS of (kind, name)
    WHERE {_IN} AND name IS NOT NULL AND name <> '' GROUP BY 1, 2 ORDER BY first, 1, 2
    """  # noqa: S608
)


_REACHED = text(
    f"""
    SELECT count(*) FROM exchanges
    WHERE {_IN} AND upstream IS NOT NULL AND duration_seconds IS NOT NULL
    """  # noqa: S608
)


async def per_step(connection: AsyncConnection, window: Window, step: timedelta) -> Rows:
    """Counts and percentiles of each step in which there was an exchange."""
    return await _rows(connection, _PER_STEP, window, step=step, supported=SUPPORTED)


async def quantiles(
    connection: AsyncConnection, window: Window, shares: list[float]
) -> tuple[list[float] | None, list[float] | None]:
    """Seconds of the whole exchange, and of the guard alone, that such shares lie below."""
    (row,) = await _rows(connection, _QUANTILES, window, shares=shares)
    return _known(row.whole), _known(row.guard)


async def reached(connection: AsyncConnection, window: Window) -> int:
    """How many exchanges reached a model: the n of the quantiles."""
    (row,) = await _rows(connection, _REACHED, window)
    return int(row[0])


async def slices(connection: AsyncConnection, window: Window) -> Rows:
    """By route, tenant, model and language, the largest first."""
    return await _rows(connection, _SLICES, window)


async def categories(connection: AsyncConnection, window: Window) -> dict[tuple[str, str], int]:
    """How many exchanges each label and action fired on; an exchange may count for several."""
    rows = await _rows(connection, _CATEGORIES, window)
    return {(row.label, row.action): row.n for row in rows}


async def uncovered(connection: AsyncConnection, window: Window) -> Rows:
    """What was not scanned, by kind."""
    return await _rows(connection, _UNCOVERED, window)


async def unchecked(connection: AsyncConnection, window: Window) -> Rows:
    """Which checks could not run, and whether the exchange was served all the same."""
    return await _rows(connection, _UNCHECKED, window)


async def failures(connection: AsyncConnection, window: Window) -> Rows:
    """Failed exchanges, by code."""
    return await _rows(connection, _FAILURES, window)


async def versions(connection: AsyncConnection, window: Window) -> Rows:
    """When each policy, template and model version had its first exchange within the window."""
    return await _rows(connection, _VERSIONS, window)


async def _rows(
    connection: AsyncConnection, query: TextClause, window: Window, **values: Any
) -> Rows:
    found = await connection.execute(query, {"start": window.start, "end": window.end, **values})
    return list(found.all())


def _known(found: list[float] | None) -> list[float] | None:
    """Without a row each quantile is NULL."""
    return None if found is None or None in found else list(found)
