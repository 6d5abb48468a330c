"""What do the overview pages read, so that ten million rows cost no more than ten thousand?

The job counts each settled row once: by the minute, by the hour, and by the hour for each route,
model and tenant. A page adds the counts up, and counts the rows that came since by themselves.
Durations are counted in steps of 5 %, so a percentile is right to 2.5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.own_traffic import USERS_ONLY
from guardrails.exchange_log.partitions import make_day_of
from guardrails.exchange_log.query import MAX_BUCKETS
from guardrails.exchange_log.rows import Bucket, Totals
from guardrails.exchange_log.settled import Range, next_range

JOB = "rollups"
BUCKETS_A_UNIT = 20

# A model that nobody serves is a caller's invention: it gets no line of its own.
_COUNT = f"""
WITH rows AS MATERIALIZED (
    SELECT started_at, route, tenant, decision, upstream,
           CASE WHEN upstream IS NULL AND failure_code IS NOT NULL THEN ''
                ELSE left(gen_ai_request_model, 200) END AS model,
           failure_code, abandoned, duration_seconds, reasons,
           gen_ai_usage_input_tokens AS input, gen_ai_usage_output_tokens AS output
    FROM exchanges WHERE xact >= %(start)s AND xact < %(end)s AND {USERS_ONLY}
), steps AS (SELECT * FROM (VALUES (60), (3600)) AS s (step)),
counted AS (
    INSERT INTO exchange_counts AS c
    SELECT step, date_bin(make_interval(secs => step), started_at, 'epoch'),
           CASE step WHEN 60 THEN '' ELSE route END, CASE step WHEN 60 THEN '' ELSE model END,
           CASE step WHEN 60 THEN '' ELSE tenant END, decision, count(*), count(failure_code),
           count(*) FILTER (WHERE abandoned),
           count(*) FILTER (WHERE upstream IS NOT NULL AND duration_seconds IS NOT NULL),
           coalesce(sum(input), 0), coalesce(sum(output), 0)
    FROM rows, steps GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (step, start, route, model, tenant, decision) DO UPDATE SET
        exchanges = c.exchanges + excluded.exchanges, failed = c.failed + excluded.failed,
        abandoned = c.abandoned + excluded.abandoned, reached = c.reached + excluded.reached,
        input_tokens = c.input_tokens + excluded.input_tokens,
        output_tokens = c.output_tokens + excluded.output_tokens
), hours AS (
    INSERT INTO exchange_hours AS c
    SELECT date_bin('1 hour', started_at, 'epoch'), decision, count(*), count(failure_code),
           count(*) FILTER (WHERE abandoned),
           count(*) FILTER (WHERE upstream IS NOT NULL AND duration_seconds IS NOT NULL),
           coalesce(sum(input), 0), coalesce(sum(output), 0)
    FROM rows GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (start, decision) DO UPDATE SET
        exchanges = c.exchanges + excluded.exchanges, failed = c.failed + excluded.failed,
        abandoned = c.abandoned + excluded.abandoned, reached = c.reached + excluded.reached,
        input_tokens = c.input_tokens + excluded.input_tokens,
        output_tokens = c.output_tokens + excluded.output_tokens
), fired AS MATERIALIZED (
    SELECT date_bin('1 hour', started_at, 'epoch') AS start, route, model, tenant, decision,
           detector, label, shadow, count(*) AS exchanges
    FROM rows, LATERAL (
        SELECT DISTINCT reason->>'detector' AS detector, reason->>'label' AS label,
               coalesce((reason->>'shadow')::boolean, false) AS shadow
        FROM jsonb_array_elements(reasons) AS reason) AS reason
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), labels AS (
    INSERT INTO label_counts AS c SELECT 3600, fired.* FROM fired ORDER BY 2, 3, 4, 5, 6, 7, 8, 9
    ON CONFLICT (step, start, route, model, tenant, decision, detector, label, shadow)
    DO UPDATE SET exchanges = c.exchanges + excluded.exchanges
), label_sums AS (
    INSERT INTO label_hours AS c
    SELECT start, decision, detector, label, shadow, sum(exchanges)
    FROM fired GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (start, decision, detector, label, shadow)
    DO UPDATE SET exchanges = c.exchanges + excluded.exchanges
)
INSERT INTO duration_counts AS c
SELECT step, date_bin(make_interval(secs => step), started_at, 'epoch'),
       floor(20 * ln(greatest(duration_seconds * 1000, 0.001)))::smallint, count(*)
FROM rows, steps WHERE upstream IS NOT NULL AND duration_seconds IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (step, start, bucket) DO UPDATE SET exchanges = c.exchanges + excluded.exchanges
"""  # noqa: S608
_DAYS = """
SELECT DISTINCT (started_at AT TIME ZONE 'UTC')::date FROM exchanges
WHERE xact >= %(start)s AND xact < %(end)s
"""
# OFFSET 0: the words of a row are found once.
_INDEX = """
INSERT INTO exchange_texts (started_at, id, search)
SELECT started_at, id, search
FROM (SELECT started_at, id, exchange_search(inputs, outputs) AS search
      FROM exchanges WHERE xact >= %(start)s AND xact < %(end)s AND erased_at IS NULL OFFSET 0)
     AS made
WHERE search <> ''
ON CONFLICT DO NOTHING
"""


class Caught(Struct, frozen=True):
    """What one run of the job went through."""

    ranges: int
    until: int


async def catch_up(connection: psycopg.AsyncConnection) -> Caught:
    """Count and index every settled row that is not yet; each row once, whatever happens.

    The connection must be in autocommit. Cost: about 0.2 ms a row, most of it for the index.
    """
    ranges = until = 0
    while True:
        async with next_range(connection, JOB) as found:
            if found is None:
                return Caught(ranges, until)
            await count(connection, found)
            await _index(connection, found)
        ranges, until = ranges + 1, found.end


async def count(connection: psycopg.AsyncConnection, found: Range) -> None:
    """Count the rows of a range. Twice counts double: who calls it keeps the progress."""
    await connection.execute(_COUNT, {"start": found.start, "end": found.end})


async def _index(connection: psycopg.AsyncConnection, found: Range) -> None:
    where = {"start": found.start, "end": found.end}
    days = await connection.execute(_DAYS, where)
    for (day,) in await days.fetchall():
        await make_day_of(connection, "exchange_texts", day)
    await connection.execute(_INDEX, where)


_PIECES = """
WITH pieces AS (SELECT CAST(:step AS integer) AS step, CAST(:since AS timestamptz) AS since,
                       CAST(:until AS timestamptz) AS until)
"""
_BIN = "date_bin(CAST(:bucket AS interval), {moment}, :since)"
_COUNTS = """
SELECT {bin_counted} AS start, decision, sum(exchanges) AS exchanges, sum(failed) AS failed,
       sum(abandoned) AS abandoned, sum(reached) AS reached, sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens
FROM {counts}
GROUP BY 1, 2
UNION ALL
SELECT {bin_live}, decision, count(*), count(failure_code), count(*) FILTER (WHERE abandoned),
       count(*) FILTER (WHERE upstream IS NOT NULL AND duration_seconds IS NOT NULL),
       coalesce(sum(gen_ai_usage_input_tokens), 0), coalesce(sum(gen_ai_usage_output_tokens), 0)
FROM exchanges AS e
WHERE xact >= exchange_counts_border() AND started_at >= :since AND started_at < :until
  AND {users}
GROUP BY 1, 2
"""
_DURATIONS = """
SELECT {bin_counted} AS start, bucket, sum(exchanges) AS exchanges
FROM duration_counts AS c JOIN pieces AS p
  ON c.step = p.step AND c.start >= p.since AND c.start < p.until
GROUP BY 1, 2
UNION ALL
SELECT {bin_live},
       floor(20 * ln(greatest(duration_seconds * 1000, 0.001)))::smallint, count(*)
FROM exchanges AS e
WHERE xact >= exchange_counts_border() AND started_at >= :since AND started_at < :until
  AND {users}
  AND upstream IS NOT NULL AND duration_seconds IS NOT NULL
GROUP BY 1, 2
"""
_MINUTES = """exchange_counts AS c JOIN pieces AS p
  ON c.step = 60 AND c.start >= p.since AND c.start < p.until"""
_HOURS = "exchange_hours AS c JOIN pieces AS p ON c.start >= p.since AND c.start < p.until"
_EACH = {
    "bin_counted": _BIN.format(moment="c.start"),
    "bin_live": _BIN.format(moment="started_at"),
    "users": USERS_ONLY,
}
_DECISIONS = {"allow": "allowed", "flag": "flagged", "redact": "redacted", "block": "blocked"}
_SUMS = ("exchanges", "failed", "abandoned", "reached", "input_tokens", "output_tokens")


class Overview(Struct, frozen=True):
    """The totals of a span, its series, and how many exchanges reached a model."""

    totals: Totals
    buckets: tuple[Bucket, ...]
    reached: int


async def overview(
    connection: AsyncConnection, since: datetime, until: datetime, bucket: timedelta
) -> Overview:
    """A span in totals and in equal steps, from the counts.

    Limits: `since`, `until` and `bucket` are whole minutes. Where they are not all whole hours,
    `since` lies in the last eight days: older minutes are not kept. Percentiles are right to 2.5 %.
    Errors: ValueError otherwise. Cost: a few milliseconds a day, whatever was recorded, and 2 µs
    for each row of the last minute.
    """
    for moment in (since, until):
        if moment.second or moment.microsecond:
            raise ValueError("counts are kept by the minute: give whole minutes")
    if bucket % timedelta(minutes=1) or not timedelta() < bucket:
        raise ValueError("a step is one minute or several")
    if until <= since or (until - since) / bucket > MAX_BUCKETS:
        raise ValueError(f"the span must hold between 1 and {MAX_BUCKETS} steps")
    span = {"since": since.astimezone(UTC), "until": until.astimezone(UTC)}
    hours = not (since.minute or until.minute or bucket % timedelta(hours=1))
    steps = {**span, "bucket": bucket, "step": 3600 if hours else 60}
    counts = _COUNTS.format(**_EACH, counts=_HOURS if hours else _MINUTES)
    found = await connection.execute(text(_PIECES + counts), steps)
    each = [dict(row._mapping) for row in found]
    whole, counted = sums_of(each), by_start(each)
    timed = await _durations(connection, steps)
    series = []
    moment = since
    while moment < until:
        end = min(moment + bucket, until)
        own = sums_of(counted.get(moment, ()))
        p50, p95 = (percentile(timed.get(moment, {}), share) for share in (0.5, 0.95))
        for name in ("reached", "input_tokens", "output_tokens"):
            own.pop(name)
        series.append(Bucket(start=moment, end=end, p50_seconds=p50, p95_seconds=p95, **own))
        moment = end
    together: dict[int, int] = {}
    for own_times in timed.values():
        for place, n in own_times.items():
            together[place] = together.get(place, 0) + n
    p50, p95 = (percentile(together, share) for share in (0.5, 0.95))
    reached = whole.pop("reached")
    totals = Totals(p50_seconds=p50, p95_seconds=p95, **whole)
    return Overview(totals, tuple(series), reached)


async def _durations(
    connection: AsyncConnection, steps: dict[str, Any]
) -> dict[datetime, dict[int, int]]:
    """How many durations lie in each bucket, by the start of the step."""
    query = text(_PIECES + _DURATIONS.format(**_EACH))
    found: dict[datetime, dict[int, int]] = {}
    # There are thousands of lines, so nothing is made of one that need not be.
    for start, place, n in await connection.execute(query, steps):
        own = found.setdefault(start, {})
        own[place] = own.get(place, 0) + int(n)
    return found


def by_start(rows: Sequence[dict[str, Any]]) -> dict[datetime, list[dict[str, Any]]]:
    """Rows by the step that they are of."""
    found: dict[datetime, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["start"], []).append(row)
    return found


def sums_of(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The counts of some rows together, and the exchanges of each decision."""
    sums = dict.fromkeys((*_SUMS, *_DECISIONS.values()), 0)
    for row in rows:
        for name in _SUMS:
            sums[name] += int(row[name])
        if row["decision"] in _DECISIONS:
            sums[_DECISIONS[row["decision"]]] += int(row["exchanges"])
    return sums


def percentile(counts: dict[int, int], share: float) -> float | None:
    """The duration in seconds below which a share of the counted lie; None where there is none.

    `counts` are by bucket; the middle of the bucket is given, so it is right to 2.5 %.
    """
    total = sum(counts.values())
    if not total:
        return None
    wanted = share * (total - 1) + 1
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= wanted - 1e-9:
            break
    return math.exp((bucket + 0.5) / BUCKETS_A_UNIT) / 1000
