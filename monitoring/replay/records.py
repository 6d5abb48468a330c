"""What does a replay need of each logged exchange? Where its texts stood, and what was measured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.own_traffic import USERS_ONLY
from guardrails.types import Action, Caller, Check, Segment, Stage

ROWS_AT_ONCE = 1_000

# Texts stay in the database: a decision needs their places only. What is encrypted is one value,
# so it has to come whole.
_PLACES = """
    (SELECT coalesce(jsonb_agg(s - 'text' ORDER BY n), '[]')
     FROM jsonb_array_elements({column}) WITH ORDINALITY AS list (s, n)) AS {column}
"""
_ROWS = f"""
    SELECT id, started_at, route, tenant, key_id, decision, policy_version,
           {{inputs}}, {{outputs}}, checks
    FROM exchanges
    WHERE started_at >= :since AND started_at < :until AND {USERS_ONLY}
      AND (CAST(:route AS text) IS NULL OR route = :route)
      AND (CAST(:tenant AS text) IS NULL OR tenant = :tenant)
    ORDER BY started_at DESC, id DESC
    LIMIT :most
"""  # noqa: S608
_COUNT = f"""
    SELECT count(*) FROM exchanges
    WHERE started_at >= :since AND started_at < :until AND {USERS_ONLY}
      AND (CAST(:route AS text) IS NULL OR route = :route)
      AND (CAST(:tenant AS text) IS NULL OR tenant = :tenant)
"""  # noqa: S608


class Span(Struct, frozen=True):
    """Which exchanges are replayed: those that began in [since, until), newest first.

    Limits: at most `most` of them. `route` and `tenant` None: all.
    """

    since: datetime
    until: datetime
    route: str | None = None
    tenant: str | None = None
    most: int = 1_000_000


class Recorded(Struct, frozen=True):
    """One logged exchange without its texts: `inputs` and `outputs` say where each stood."""

    id: UUID
    started_at: datetime
    route: str
    caller: Caller
    decision: Action
    policy_version: str
    inputs: tuple[Segment, ...]
    outputs: tuple[Segment, ...]
    checks: tuple[Check, ...]

    def side(self, side: Stage) -> tuple[tuple[Segment, ...], tuple[Check, ...]]:
        """The texts of one side and what was measured on them."""
        segments = self.inputs if side is Stage.INPUT else self.outputs
        return segments, tuple(check for check in self.checks if check.side is side)

    @property
    def readable(self) -> bool:
        """Whether it is still known where each measured text stood: not erased, nor locked."""
        return all(
            detection.segment < len(self.side(check.side)[0])
            for check in self.checks
            for detection in check.detections
        )


async def count(connection: AsyncConnection, span: Span) -> int:
    """How many exchanges a span holds, at most `span.most`."""
    found = await connection.scalar(text(_COUNT), _parameters(span))
    return min(int(found or 0), span.most)


async def read(
    connection: AsyncConnection, span: Span, cipher: Cipher | None = None
) -> AsyncIterator[list[Recorded]]:
    """The exchanges of a span, newest first, a thousand at a time.

    Cost: memory is flat; without encryption no text leaves the database.
    """
    columns = {
        name: name if cipher is not None else _PLACES.format(column=name)
        for name in ("inputs", "outputs")
    }
    statement = text(_ROWS.format(**columns)).execution_options(yield_per=ROWS_AT_ONCE)
    rows = await connection.stream(statement, {**_parameters(span), "most": span.most})
    async for batch in rows.partitions(ROWS_AT_ONCE):
        yield [_recorded(row, cipher) for row in batch]


def _parameters(span: Span) -> dict[str, Any]:
    return {
        "since": span.since,
        "until": span.until,
        "route": span.route,
        "tenant": span.tenant,
    }


def _recorded(row: Any, cipher: Cipher | None) -> Recorded:
    def places(column: str) -> tuple[Segment, ...]:
        value = getattr(row, column)
        if cipher is not None:
            value = cipher.open(str(row.id), column, value)
        return tuple(
            Segment(Stage(place["stage"]), place["role"], place["index"], (), "") for place in value
        )

    return Recorded(
        id=row.id,
        started_at=row.started_at,
        route=row.route,
        caller=Caller(row.key_id, row.tenant),
        decision=Action(row.decision),
        policy_version=row.policy_version,
        inputs=places("inputs"),
        outputs=places("outputs"),
        checks=msgspec.convert(row.checks, tuple[Check, ...]),
    )
