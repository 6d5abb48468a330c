"""What was recorded? The log's reading side, for the dashboards and for monitoring.

Functions take a connection and return plain records; who commits, and which statement timeout
holds, is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, case, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

from guardrails.exchange_log.tables import exchanges

MAX_LIMIT = 1_000
MAX_BUCKETS = 2_000
EXCERPT_CHARACTERS = 200
CLOCKS_APART = timedelta(minutes=10)

_c = exchanges.c

Before = tuple[datetime, UUID | str]
"""The place of a row in the order of the log: where the next page goes on."""


class ExchangeRow(Struct, frozen=True):
    """One line of a list of exchanges. `excerpt` begins the last text that the user wrote."""

    id: UUID
    started_at: datetime
    protocol: str
    route: str
    tenant: str
    key_id: str | None
    model: str
    response_model: str | None
    stream: bool
    decision: str
    rules: tuple[str, ...]
    failure_code: str | None
    failure_status: int | None
    abandoned: bool
    policy_version: str
    upstream: str | None
    input_tokens: int | None
    output_tokens: int | None
    duration_seconds: float | None
    excerpt: str

    @property
    def place(self) -> Before:
        """What `before` takes to continue after this row."""
        return (self.started_at, self.id)


class ExchangeDetail(Struct, frozen=True):
    """All that was recorded of one exchange; JSON parts as they were encoded."""

    row: ExchangeRow
    recorded_at: datetime
    operation: str
    finish_reasons: tuple[str, ...]
    failure_message: str | None
    template_hash: str | None
    upstream_model: str | None
    attempts: int
    seconds: dict[str, float]
    request: Any
    prompt: Any
    completion: Any
    answer: Any
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    passages: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    reasons: list[dict[str, Any]]
    uncovered: list[str]
    bytes: int


class Totals(Struct, frozen=True):
    """What a span of time held. Percentiles are of exchanges that reached a model; None: none did.

    Each exchange is one of allowed, flagged, redacted, blocked; failed and abandoned count besides.
    """

    exchanges: int
    allowed: int
    flagged: int
    redacted: int
    blocked: int
    failed: int
    abandoned: int
    input_tokens: int
    output_tokens: int
    p50_seconds: float | None
    p95_seconds: float | None


class Bucket(Struct, frozen=True):
    """One step of a series in time; one in which nothing happened counts zero, and has no p50."""

    start: datetime
    end: datetime
    exchanges: int
    allowed: int
    flagged: int
    redacted: int
    blocked: int
    failed: int
    abandoned: int
    p50_seconds: float | None
    p95_seconds: float | None


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
) -> list[ExchangeRow]:
    """The newest exchanges first, at most `limit` of them, from `before` on.

    `text` finds a literal piece of what was asked or answered, in any case of letters. It reads the
    texts of each row on its way, so for a rare piece give `since` too.
    Cost: an index walk without `text`, whatever the page.
    """
    conditions: list[ColumnElement[bool] | TextClause] = [*_span(since, until)]
    if before is not None:
        moment, row_id = before
        conditions.append(tuple_(_c.started_at, _c.id) < tuple_(moment, UUID(str(row_id))))
    for column, wanted in (
        (_c.decision, decision),
        (_c.route, route),
        (_c.gen_ai_request_model, model),
        (_c.tenant, tenant),
    ):
        if wanted is not None:
            conditions.append(column == wanted)
    if failed is not None:
        conditions.append(_c.failure_code.is_not(None) if failed else _c.failure_code.is_(None))
    if text:
        conditions.append(_holds(text))
    statement = (
        _rows()
        .where(*conditions)
        .order_by(_c.started_at.desc(), _c.id.desc())
        .limit(max(0, min(limit, MAX_LIMIT)))
    )
    return [_row(row) for row in await connection.execute(statement)]


async def get(connection: AsyncConnection, exchange_id: UUID | str) -> ExchangeDetail | None:
    """One exchange by its id; None where there is none, or it is no UUID.

    A UUIDv7 tells its moment, so one or two partitions are read; another id is looked up in all.
    """
    try:
        wanted = UUID(str(exchange_id))
    except ValueError:
        return None
    columns = [column for column in exchanges.c if column.name not in _IN_ROW]
    statement = _rows().add_columns(*columns).where(_c.id == wanted)
    moment = moment_of(wanted)
    near = [] if moment is None else _span(moment - CLOCKS_APART, moment + CLOCKS_APART)
    found = (await connection.execute(statement.where(*near))).first()
    if found is None and near:
        found = (await connection.execute(statement)).first()
    return None if found is None else _detail(found)


async def totals(connection: AsyncConnection, since: datetime, until: datetime) -> Totals:
    """Counts, tokens and percentiles of the exchanges that started in [since, until)."""
    statement = select(
        *_counts(),
        func.coalesce(func.sum(_c.gen_ai_usage_input_tokens), 0).label("input_tokens"),
        func.coalesce(func.sum(_c.gen_ai_usage_output_tokens), 0).label("output_tokens"),
    ).where(*_span(since, until))
    row = (await connection.execute(statement)).one()._mapping
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
    statement = select(start, *_counts()).where(*_span(since, until)).group_by(start)
    found = {row.start: row._mapping for row in await connection.execute(statement)}
    series = []
    moment = since
    while moment < until:
        end = min(moment + bucket, until)
        counts = {**_NOTHING, **{k: v for k, v in found.get(moment, {}).items() if k != "start"}}
        series.append(Bucket(start=moment, end=end, **counts))
        moment += bucket
    return series


def moment_of(exchange_id: UUID) -> datetime | None:
    """When a UUIDv7 was made, to the millisecond; None for any other kind."""
    if exchange_id.version != 7:
        return None
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=exchange_id.int >> 80)
    except OverflowError:
        return None


def _span(since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(_c.started_at >= since)
    if until is not None:
        conditions.append(_c.started_at < until)
    return conditions


def _holds(piece: str) -> TextClause:
    """Whether a text of the input or the output holds a piece, taken literally."""
    return text(
        "EXISTS (SELECT FROM jsonb_array_elements(exchanges.inputs || exchanges.outputs) segment"
        " WHERE position(lower(:piece) IN lower(segment->>'text')) > 0)"
    ).bindparams(bindparam("piece", piece.replace("\x00", "")))


_EXCERPT = text(
    "(SELECT left(segment->>'text', :excerpt) FROM jsonb_array_elements(exchanges.inputs)"
    " WITH ORDINALITY AS list (segment, n) WHERE segment->>'role' = 'user' ORDER BY n DESC LIMIT 1)"
    " AS excerpt"
).bindparams(bindparam("excerpt", EXCERPT_CHARACTERS))
_IN_ROW = [
    "id",
    "started_at",
    "protocol",
    "route",
    "tenant",
    "key_id",
    "stream",
    "decision",
    "reasons",
    "failure_code",
    "failure_status",
    "abandoned",
    "policy_version",
    "upstream",
    "gen_ai_request_model",
    "gen_ai_response_model",
    "gen_ai_usage_input_tokens",
    "gen_ai_usage_output_tokens",
    "duration_seconds",
]


def _rows() -> Select[Any]:
    return select(*(exchanges.c[name] for name in _IN_ROW), _EXCERPT)


def _row(row: Row[Any]) -> ExchangeRow:
    rules = dict.fromkeys(reason["rule"] for reason in row.reasons if not reason.get("shadow"))
    return ExchangeRow(
        id=row.id,
        started_at=row.started_at,
        protocol=row.protocol,
        route=row.route,
        tenant=row.tenant,
        key_id=row.key_id,
        model=row.gen_ai_request_model,
        response_model=row.gen_ai_response_model,
        stream=row.stream,
        decision=row.decision,
        rules=tuple(rules),
        failure_code=row.failure_code,
        failure_status=row.failure_status,
        abandoned=row.abandoned,
        policy_version=row.policy_version,
        upstream=row.upstream,
        input_tokens=row.gen_ai_usage_input_tokens,
        output_tokens=row.gen_ai_usage_output_tokens,
        duration_seconds=row.duration_seconds,
        excerpt=row.excerpt or "",
    )


def _detail(row: Row[Any]) -> ExchangeDetail:
    return ExchangeDetail(
        row=_row(row),
        recorded_at=row.recorded_at,
        operation=row.gen_ai_operation_name,
        finish_reasons=tuple(row.gen_ai_response_finish_reasons or ()),
        failure_message=row.failure_message,
        template_hash=row.template_hash,
        upstream_model=row.upstream_model,
        attempts=row.attempts,
        seconds=row.seconds,
        request=row.request,
        prompt=row.prompt,
        completion=row.completion,
        answer=row.answer,
        inputs=row.inputs,
        outputs=row.outputs,
        passages=row.passages,
        citations=row.citations,
        checks=row.checks,
        reasons=row.reasons,
        uncovered=row.uncovered,
        bytes=row.bytes,
    )


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
