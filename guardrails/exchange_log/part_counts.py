"""What did a part of the log hold: one route, one model, some tenants?

Where a span is one of whole hours, the counts of each hour are added up, and the rows that the
rollups job has not come to are counted themselves. Any other span is counted row by row, by the
index of what narrows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.filters import MODEL_CHARACTERS
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.rollups import Overview, by_start, sums_of
from guardrails.exchange_log.rows import Bucket, Totals
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.upkeep_tables import (
    exchange_counts,
    exchange_hours,
    label_counts,
    label_hours,
)

HOUR = timedelta(hours=1)
TIMED = timedelta(hours=25)
"""The longest span whose durations are looked at: they are not kept by route, so each row is."""

MOST_TIMED = 50_000
"""The most rows whose durations are read."""

_c = exchanges.c
_OF_THE_WHOLE = {exchange_counts: exchange_hours, label_counts: label_hours}


class Part(Struct, frozen=True):
    """What a row must be of; None: any. No tenant at all is an empty part."""

    route: str | None = None
    model: str | None = None
    tenants: Sequence[str] | None = None

    @property
    def whole(self) -> bool:
        """Whether it is all of the log."""
        return self == Part()

    def of_rows(self) -> list[ColumnElement[bool]]:
        """The conditions on rows of `exchanges`; what Banister itself asked is never counted."""
        found: list[ColumnElement[bool]] = [_c.tenant != OWN_TENANT]
        if self.route is not None:
            found.append(_c.route == self.route)
        if self.model is not None:
            begins = func.left(_c.gen_ai_request_model, MODEL_CHARACTERS)
            found.append(begins == self.model[:MODEL_CHARACTERS])
        if self.tenants is not None:
            found.append(_c.tenant.in_(self.tenants))
        return found

    def hours(
        self, counts: Table, since: datetime, until: datetime
    ) -> tuple[Table, list[ColumnElement[bool]]]:
        """The table that has the hours' counts of this part, and the conditions on its lines.

        `counts` has them by route, model and tenant; the whole log has a table of its own beside
        it, with few lines.
        """
        table = _OF_THE_WHOLE[counts] if self.whole else counts
        lines = table.c
        found: list[ColumnElement[bool]] = [lines.start >= since, lines.start < until]
        if not self.whole:
            found.append(lines.step == 3600)
        if self.route is not None:
            found.append(lines.route == self.route)
        if self.model is not None:
            found.append(lines.model == self.model[:MODEL_CHARACTERS])
        if self.tenants is not None:
            found.append(lines.tenant.in_(self.tenants))
        return table, found


def of_whole_hours(since: datetime, until: datetime, bucket: timedelta) -> bool:
    """Whether the hours' counts can tell a span and its steps."""
    return not (since.minute or since.second or until.minute or until.second or bucket % HOUR)


def not_counted() -> ColumnElement[bool]:
    """The condition that the rollups job has not come to a row."""
    return _c.xact >= func.exchange_counts_border()


async def overview_of(
    connection: AsyncConnection, since: datetime, until: datetime, bucket: timedelta, part: Part
) -> Overview:
    """A span of a part in totals and in equal steps.

    Limits: the p50 and p95 are those of the whole span, and None where it is longer than TIMED
    or holds more than MOST_TIMED.
    """
    hourly = of_whole_hours(since, until, bucket)
    counted = (
        _by_hours(since, until, bucket, part) if hourly else _by_rows(since, until, bucket, part)
    )
    each = [dict(row._mapping) for row in await connection.execute(counted)]
    steps = by_start(each)
    series = []
    moment = since
    while moment < until:
        end = min(moment + bucket, until)
        own = sums_of(steps.get(moment, ()))
        for name in ("reached", "input_tokens", "output_tokens"):
            own.pop(name)
        series.append(Bucket(start=moment, end=end, p50_seconds=None, p95_seconds=None, **own))
        moment = end
    whole = sums_of(each)
    reached = whole.pop("reached")
    p50 = p95 = None
    if until - since <= TIMED and 0 < reached <= MOST_TIMED:
        p50, p95 = (await connection.execute(_durations(since, until, part))).one()
    return Overview(Totals(p50_seconds=p50, p95_seconds=p95, **whole), tuple(series), reached)


def _by_hours(since: datetime, until: datetime, bucket: timedelta, part: Part) -> Any:
    names = ("exchanges", "failed", "abandoned", "reached", "input_tokens", "output_tokens")
    table, lines = part.hours(exchange_counts, since, until)
    start = func.date_bin(bucket, table.c.start, since).label("start")
    counted = (
        select(start, table.c.decision, *(func.sum(table.c[name]).label(name) for name in names))
        .where(*lines)
        .group_by(start, table.c.decision)
    )
    return union_all(counted, _by_rows(since, until, bucket, part).where(not_counted()))


def _by_rows(since: datetime, until: datetime, bucket: timedelta, part: Part) -> Select[Any]:
    start = func.date_bin(bucket, _c.started_at, since).label("start")
    return (
        select(
            start,
            _c.decision,
            func.count().label("exchanges"),
            func.count(_c.failure_code).label("failed"),
            func.count().filter(_c.abandoned).label("abandoned"),
            func.count().filter(_reached()).label("reached"),
            func.coalesce(func.sum(_c.gen_ai_usage_input_tokens), 0).label("input_tokens"),
            func.coalesce(func.sum(_c.gen_ai_usage_output_tokens), 0).label("output_tokens"),
        )
        .where(_c.started_at >= since, _c.started_at < until, *part.of_rows())
        .group_by(start, _c.decision)
    )


def _durations(since: datetime, until: datetime, part: Part) -> Select[Any]:
    def at(share: float) -> ColumnElement[Any]:
        return func.percentile_cont(literal(share)).within_group(_c.duration_seconds)

    return select(at(0.5), at(0.95)).where(
        _c.started_at >= since, _c.started_at < until, _reached(), *part.of_rows()
    )


def _reached() -> ColumnElement[bool]:
    return and_(_c.upstream.is_not(None), _c.duration_seconds.is_not(None))
