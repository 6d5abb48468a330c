"""What was recorded? The log's reading side, for the dashboards and for monitoring.

Functions take a connection and return plain records; who commits, and which statement timeout
holds, is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.errors import BadRequest
from guardrails.exchange_log import rare, search
from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.filters import Filter, span
from guardrails.exchange_log.moments import CLOCKS_APART, moment_of
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.rows import (
    IN_ROW,
    Before,
    Bucket,
    ExchangeDetail,
    ExchangeRow,
    Totals,
    detail_of,
    row_of,
    statement,
)
from guardrails.exchange_log.tables import exchanges

__all__ = [
    "Before",
    "Bucket",
    "ExchangeDetail",
    "ExchangeRow",
    "Totals",
    "get",
    "latest",
    "per_bucket",
    "totals",
]

MAX_LIMIT = 1_000
MAX_BUCKETS = 2_000

_ENCRYPTED = (
    "The texts are encrypted (BANISTER_LOG_KEYS), so they cannot be searched. "
    "Filter by time, decision, route, model or tenant."
)

_c = exchanges.c


async def latest(
    connection: AsyncConnection,
    limit: int = 50,
    before: Before | None = None,
    decision: str | None = None,
    route: str | None = None,
    model: str | None = None,
    tenant: str | None = None,
    text: str | None = None,
    *,
    failed: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    tenants: Sequence[str] | None = None,
    end_user_keys: Sequence[str] | None = None,
    cipher: Cipher | None = None,
) -> list[ExchangeRow]:
    """The newest exchanges first, at most `limit` of them, from `before` on.

    `text` finds words of what was asked or answered, in any case of letters, and words that begin
    so; "in quotes" they must follow each other, and `-word` must not be there. Of one exchange the
    last 50,000 characters asked and the first 50,000 answered are searched.
    `tenants` are those whose exchanges may be seen at all; none of them: nothing.
    `end_user_keys` are the names of one end user, as `erasure.names_of` gives them.
    Cost: an index walk, whatever the page. Errors: BadRequest for `text` where texts are encrypted.
    """
    wanted = Filter(decision, route, model, tenant, tenants, failed, since, until, end_user_keys)
    further: list[ColumnElement[bool]] = []
    last = None
    if before is not None:
        last, row_id = before
        further.append(tuple_(_c.started_at, _c.id) < tuple_(last, UUID(str(row_id))))
    limit = max(0, min(limit, MAX_LIMIT))
    if text:
        if cipher is not None:
            raise BadRequest(_ENCRYPTED, param="text")
        conditions = [*wanted.of_rows(), *further]
        ends = (until, None if last is None else last + timedelta.resolution)
        end = min((one for one in ends if one is not None), default=None)
        rows = await search.find(connection, text, conditions, limit, since, end)
    elif wanted.may_be_rare:
        rows = await rare.find(connection, wanted, further, limit, last, cipher)
    else:
        conditions = [*wanted.of_rows(), *further]
        ordered = statement(cipher).where(*conditions).order_by(*search.NEWEST_FIRST).limit(limit)
        if end_user_keys is not None:
            mine = select(_c.started_at, _c.id).where(*conditions)
            ordered = search.newest_of(mine, limit, cipher)
        rows = list(await connection.execute(ordered))
    return [row_of(row, cipher) for row in rows]


async def get(
    connection: AsyncConnection, exchange_id: UUID | str, cipher: Cipher | None = None
) -> ExchangeDetail | None:
    """One exchange by its id; None where there is none, or it is no UUID.

    A UUIDv7 tells its moment, so one or two partitions are read; another id is looked up in all.
    """
    try:
        wanted = UUID(str(exchange_id))
    except ValueError:
        return None
    columns = [column for column in exchanges.c if column.name not in IN_ROW]
    query = statement(None).add_columns(*columns).where(_c.id == wanted)
    moment = moment_of(wanted)
    near = [] if moment is None else span(moment - CLOCKS_APART, moment + CLOCKS_APART)
    found = (await connection.execute(query.where(*near))).first()
    if found is None and near:
        found = (await connection.execute(query)).first()
    return None if found is None else detail_of(found, cipher)


async def totals(connection: AsyncConnection, since: datetime, until: datetime) -> Totals:
    """Counts, tokens and percentiles of the exchanges that started in [since, until)."""
    query = select(
        *_counts(),
        func.coalesce(func.sum(_c.gen_ai_usage_input_tokens), 0).label("input_tokens"),
        func.coalesce(func.sum(_c.gen_ai_usage_output_tokens), 0).label("output_tokens"),
    ).where(*_users(since, until))
    row = (await connection.execute(query)).one()._mapping
    return Totals(**{**row, **{name: int(row[name]) for name in ("input_tokens", "output_tokens")}})


async def per_bucket(
    connection: AsyncConnection, since: datetime, until: datetime, bucket: timedelta
) -> list[Bucket]:
    """A series of equal steps from `since` until before `until`; the last may be cut short.

    Errors: ValueError where the steps would be more than `MAX_BUCKETS`, or none.
    """
    if bucket <= timedelta() or until <= since or (until - since) / bucket > MAX_BUCKETS:
        raise ValueError(f"the span must hold between 1 and {MAX_BUCKETS} steps")
    start = func.date_bin(bucket, _c.started_at, since).label("start")
    query = select(start, *_counts()).where(*_users(since, until)).group_by(start)
    found = {row.start: row._mapping for row in await connection.execute(query)}
    series = []
    moment = since
    while moment < until:
        end = min(moment + bucket, until)
        counts = {**_NOTHING, **{k: v for k, v in found.get(moment, {}).items() if k != "start"}}
        series.append(Bucket(start=moment, end=end, **counts))
        moment += bucket
    return series


def _users(since: datetime, until: datetime) -> list[ColumnElement[bool]]:
    return [*span(since, until), _c.tenant != OWN_TENANT]


def _counts() -> Sequence[ColumnElement[Any]]:
    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(case((condition, 1)))

    def percentile(share: float) -> ColumnElement[float | None]:
        reached = and_(_c.upstream.is_not(None), _c.duration_seconds.is_not(None))
        return func.percentile_cont(share).within_group(_c.duration_seconds).filter(reached)

    return (
        func.count().label("exchanges"),
        count(_c.decision == "allow").label("allowed"),
        count(_c.decision == "flag").label("flagged"),
        count(_c.decision == "redact").label("redacted"),
        count(_c.decision == "block").label("blocked"),
        count(_c.failure_code.is_not(None)).label("failed"),
        count(_c.abandoned).label("abandoned"),
        percentile(0.5).label("p50_seconds"),
        percentile(0.95).label("p95_seconds"),
    )


_NOTHING: dict[str, Any] = {
    **dict.fromkeys(
        ("exchanges", "allowed", "flagged", "redacted", "blocked", "failed", "abandoned"), 0
    ),
    "p50_seconds": None,
    "p95_seconds": None,
}
