"""What does a row of the log look like to those who read it?

A row whose texts are encrypted is opened where a cipher is given.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, Select, bindparam, select, text

from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.tables import exchanges

EXCERPT_CHARACTERS = 200

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
    erased_at: datetime | None = None
    language: str | None = None
    groups: tuple[str, ...] = ()
    source_id: UUID | None = None


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


_EXCERPT = text(
    "(SELECT left(segment->>'text', :excerpt) FROM jsonb_array_elements(exchanges.inputs)"
    " WITH ORDINALITY AS list (segment, n) WHERE segment->>'role' = 'user' ORDER BY n DESC LIMIT 1)"
    " AS excerpt"
).bindparams(bindparam("excerpt", EXCERPT_CHARACTERS))
IN_ROW = [
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


def statement(cipher: Cipher | None) -> Select[Any]:
    """Selects what `row_of` needs."""
    columns = [exchanges.c[name] for name in IN_ROW]
    if cipher is not None:
        # What it begins with is known once it is opened.
        columns.append(exchanges.c.inputs)
    return select(*columns, _EXCERPT)


def row_of(row: Row[Any], cipher: Cipher | None) -> ExchangeRow:
    """One line of a list."""
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
        excerpt=row.excerpt or _opened_excerpt(row, cipher),
    )


def detail_of(row: Row[Any], cipher: Cipher | None) -> ExchangeDetail:
    """The whole record."""

    def opened(column: str) -> Any:
        value = getattr(row, column)
        return value if cipher is None else cipher.open(str(row.id), column, value)

    return ExchangeDetail(
        row=row_of(row, cipher),
        recorded_at=row.recorded_at,
        operation=row.gen_ai_operation_name,
        finish_reasons=tuple(row.gen_ai_response_finish_reasons or ()),
        failure_message=row.failure_message,
        template_hash=row.template_hash,
        upstream_model=row.upstream_model,
        attempts=row.attempts,
        seconds=row.seconds,
        request=opened("request"),
        prompt=opened("prompt"),
        completion=opened("completion"),
        answer=opened("answer"),
        inputs=opened("inputs"),
        outputs=opened("outputs"),
        passages=opened("passages"),
        citations=row.citations,
        checks=row.checks,
        reasons=row.reasons,
        uncovered=row.uncovered,
        bytes=row.bytes,
        erased_at=row.erased_at,
        language=row.language,
        groups=tuple(row.groups or ()),
        source_id=row.source_id,
    )


def _opened_excerpt(row: Row[Any], cipher: Cipher | None) -> str:
    if cipher is None:
        return ""
    segments = cipher.open(str(row.id), "inputs", row.inputs)
    said = [segment["text"] for segment in segments if segment.get("role") == "user"]
    return str(said[-1])[:EXCERPT_CHARACTERS] if said else ""
