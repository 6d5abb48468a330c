"""What do the drift jobs read of the exchange log? Counts by slice, and a sample of exchanges."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.own_traffic import USERS_ONLY
from guardrails.text.language import language_of
from monitoring.drift.descriptors import REFUSAL
from monitoring.types import Window

RATES = ("block", "flag", "redact", "refusal", "error", "no_check")
TEXT_CHARACTERS = 2_000
SAMPLED = 5_000

_OUTCOME = """
    decision = 'block' AS block, decision = 'flag' AS flag, decision = 'redact' AS redact,
    failure_code IS NOT NULL AS error,
    jsonb_array_length(checks) = 0 OR jsonb_path_exists(checks, '$[*].error') AS no_check,
    jsonb_array_length(outputs) > 0 AS answered,
    EXISTS (SELECT FROM jsonb_array_elements(outputs) AS said
            WHERE translate(left(said->>'text', 200), '’', '''') ~* :refusal) AS refusal
"""

_COUNTS = text(
    f"""
    WITH seen AS (
        SELECT date_bin(:length, started_at, :start) AS bin, route, tenant,
               gen_ai_request_model AS model, {_OUTCOME}
        FROM exchanges
        WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
    )
    SELECT bin, route, tenant, model, GROUPING(route, tenant, model) AS level, count(*) AS n,
           count(*) FILTER (WHERE answered) AS answered,
           count(*) FILTER (WHERE block) AS block, count(*) FILTER (WHERE flag) AS flag,
           count(*) FILTER (WHERE redact) AS redact, count(*) FILTER (WHERE error) AS error,
           count(*) FILTER (WHERE no_check) AS no_check,
           count(*) FILTER (WHERE refusal) AS refusal
    FROM seen GROUP BY GROUPING SETS ((bin), (bin, route), (bin, tenant), (bin, model))
    """  # noqa: S608
)
_SLICED_BY = {0b111: None, 0b011: "route", 0b101: "tenant", 0b110: "model"}

# The share is drawn by a hash of the id: the same exchanges each time, and no order of arrival.
_DRAWN = text(
    f"""
    WITH drawn AS (
        SELECT * FROM exchanges
        WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
          AND abs(uuid_hash(id)::bigint) % 1000000 < :per_million
    )
    SELECT id::text, started_at, route, tenant, gen_ai_request_model AS model, language, {_OUTCOME},
           coalesce((SELECT left(said->>'text', :characters)
                     FROM jsonb_array_elements(inputs) WITH ORDINALITY AS list (said, place)
                     WHERE said->>'role' = 'user' ORDER BY place DESC LIMIT 1), '') AS prompt,
           coalesce((SELECT left(said->>'text', :characters)
                     FROM jsonb_array_elements(outputs) AS said LIMIT 1), '') AS answer,
           coalesce((SELECT jsonb_object_agg(name, score) FROM (
                SELECT (c->>'detector') || '/' || (d->>'label') || ' on ' || (c->>'side') AS name,
                       max((d->>'score')::double precision) AS score
                FROM jsonb_array_elements(checks) AS c,
                     jsonb_array_elements(coalesce(c->'detections', '[]')) AS d
                GROUP BY 1) AS highest), '{{}}') AS scores
    FROM drawn ORDER BY started_at, id
    """  # noqa: S608
)
_COUNT = text(
    "SELECT count(*) FROM exchanges"  # noqa: S608
    f" WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}"
)
_VERSIONS = text(
    f"""
    SELECT mode() WITHIN GROUP (ORDER BY policy_version) AS policy,
           mode() WITHIN GROUP (ORDER BY template_hash) AS template,
           mode() WITHIN GROUP (ORDER BY upstream_model) AS model
    FROM exchanges WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
    """  # noqa: S608
)
_DAYS = text(
    f"""
    SELECT date_bin('1 day', started_at, :end) AS day,
           avg((policy_version IS NOT DISTINCT FROM :policy
                AND coalesce(template_hash, :template, '') = coalesce(:template, '')
                AND coalesce(upstream_model, :model, '') = coalesce(:model, ''))::int) AS share
    FROM exchanges WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
    GROUP BY 1 ORDER BY 1 DESC
    """  # noqa: S608
)


class Counted(Struct, frozen=True):
    """One slice of one window: how often each rate's event happened, among how many."""

    start: datetime
    slice: str
    hits: dict[str, int]
    n: dict[str, int]


class Drawn(Struct, frozen=True):
    """One exchange of a sample, with the heads of its texts and each label's highest score."""

    id: str
    started_at: datetime
    slices: tuple[str, ...]
    outcome: dict[str, bool]
    prompt: str
    answer: str
    scores: dict[str, float]


class Versions(Struct, frozen=True):
    """What most exchanges of a window ran under."""

    policy: str | None
    template: str | None
    model: str | None

    def __str__(self) -> str:
        return f"policy {self.policy}, template {self.template}, model {self.model}"


async def counts(engine: AsyncEngine, window: Window, length: timedelta) -> list[Counted]:
    """Every slice's counts, in steps of `length`; a refusal counts among what was answered."""
    values = {**_span(window), "length": length, "refusal": REFUSAL}
    async with engine.connect() as connection:
        rows = (await connection.execute(_COUNTS, values)).all()
    found = []
    for row in rows:
        by = _SLICED_BY[row.level]
        of = dict.fromkeys(RATES, row.n) | {"refusal": row.answered}
        name = "all" if by is None else f"{by}={getattr(row, by)}"
        found.append(Counted(row.bin, name, {rate: getattr(row, rate) for rate in RATES}, of))
    return found


async def drawn(engine: AsyncEngine, window: Window, *, most: int = SAMPLED) -> list[Drawn]:
    """About `most` exchanges of a window, in the order they came.

    Cost: reads every row's id, and the texts and checks of those that are drawn.
    """
    async with engine.connect() as connection:
        n = (await connection.execute(_COUNT, _span(window))).scalar_one()
        share = 1_000_000 if n <= most else 1_000_000 * most // n
        values = {
            **_span(window),
            "per_million": share,
            "characters": TEXT_CHARACTERS,
            "refusal": REFUSAL,
        }
        rows = (await connection.execute(_DRAWN, values)).all()
    # Guessing thousands of languages takes a second; the scheduler's loop has a lease to keep.
    return await asyncio.to_thread(lambda: [_drawn(row) for row in rows])


def _drawn(row: Row[Any]) -> Drawn:
    return Drawn(
        row.id,
        row.started_at,
        (
            "all",
            f"route={row.route}",
            f"tenant={row.tenant}",
            f"model={row.model}",
            f"language={row.language or language_of(row.prompt)}",
        ),
        {rate: getattr(row, rate) for rate in (*RATES, "answered")},
        row.prompt,
        row.answer,
        msgspec.convert(row.scores, dict[str, float]),
    )


async def versions(engine: AsyncEngine, window: Window) -> Versions:
    """The versions that most of a window ran under."""
    async with engine.connect() as connection:
        row = (await connection.execute(_VERSIONS, _span(window))).one()
    return Versions(row.policy, row.template, row.model)


async def days_under(
    engine: AsyncEngine, ran: Versions, until: datetime, *, most: int, share: float = 0.9
) -> int:
    """How many whole days before `until`, one after the other, ran under these versions.

    A day without an exchange counts on; a day that ran under others ends the row.
    """
    start = until - timedelta(days=most)
    values = {
        "start": start,
        "end": until,
        "policy": ran.policy,
        "template": ran.template,
        "model": ran.model,
    }
    async with engine.connect() as connection:
        rows = (await connection.execute(_DAYS, values)).all()
    days = 0
    for row in rows:
        if row.share < share:
            break
        days = round((until - row.day) / timedelta(days=1))
    return days


def slices_of(names: Iterable[tuple[str, int]], *, least: int, most: int) -> tuple[str, ...]:
    """`all` and the largest slices that have `least` rows; at most `most`, by size."""
    usable = sorted((-n, name) for name, n in names if n >= least and name != "all")
    return ("all", *(name for _, name in usable[: most - 1]))


def _span(window: Window) -> dict[str, object]:
    return {"start": window.start, "end": window.end}
