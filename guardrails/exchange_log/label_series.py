"""How often did each detector's labels fire, over time, in a part of the log?

As `part_counts.py`: hours that the rollups job has counted are added up, and newer rows, or a span
that is not of whole hours, are read themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    Text,
    case,
    func,
    literal,
    null,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.part_counts import Part, not_counted, of_whole_hours
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.upkeep_tables import exchange_counts, label_counts

_c = exchanges.c
_NAMES = ("detector", "label", "shadow")

_FIRED = text(
    "(SELECT DISTINCT reason->>'detector' AS detector, reason->>'label' AS label,"
    " coalesce((reason->>'shadow')::boolean, false) AS shadow"
    " FROM jsonb_array_elements(exchanges.reasons) AS reason)"
).columns(*(label_counts.c[name] for name in _NAMES))
_NO_LABEL: tuple[ColumnElement[Any], ...] = tuple(
    null().cast(kind).label(name) for name, kind in zip(_NAMES, (Text, Text, Boolean), strict=True)
)


class LabelCount(Struct, frozen=True):
    """In how many exchanges of one step a label fired, by what was decided in the end."""

    start: datetime
    detector: str
    label: str
    shadow: bool
    decision: str
    exchanges: int


class Fired(Struct, frozen=True):
    """Every label that fired, and of how many exchanges, by the start of the step."""

    exchanges: Mapping[datetime, int]
    labels: tuple[LabelCount, ...]


async def label_series(
    connection: AsyncConnection,
    since: datetime,
    until: datetime,
    bucket: timedelta,
    part: Part,
    *,
    before: datetime | None = None,
) -> Fired:
    """Every label that fired, in steps of `bucket` from `since`; an exchange counts once a label.

    A label fires where a rule on it asks for something; one without a rule never does. With
    `before`, all from then until `since` is told too, as one step that starts then. Cost: some
    milliseconds for what is counted, whatever was recorded; 3 µs for each row that is not.
    """
    first = since if before is None else before
    steps = _Steps(first, since, until, bucket)
    exchanged, labelled = _rows_of_exchanges(steps, part), _rows_of_labels(steps, part)
    read = [exchanged, labelled]
    if of_whole_hours(since, until, bucket) and of_whole_hours(first, since, bucket):
        read = [one.where(not_counted()) for one in read]
        read += [_hours_of_exchanges(steps, part), _hours_of_labels(steps, part)]
    both = union_all(*read).subquery()
    columns = [both.c[name] for name in ("start", *_NAMES, "decision")]
    statement = (
        select(*columns, func.sum(both.c.exchanges).label("exchanges"))
        .group_by(*columns)
        .order_by(*columns)
    )
    counts: dict[datetime, int] = {}
    labels = []
    for row in await connection.execute(statement):
        n = int(row.exchanges)
        if row.label is None:
            counts[row.start] = counts.get(row.start, 0) + n
        else:
            labels.append(
                LabelCount(row.start, row.detector, row.label, row.shadow, row.decision, n)
            )
    return Fired(counts, tuple(labels))


class _Steps(Struct, frozen=True):
    first: datetime
    since: datetime
    until: datetime
    bucket: timedelta

    def begun(self, moment: Any) -> Any:
        """The start of the step that a column's moment lies in, named so."""
        start: ColumnElement[Any] = func.date_bin(self.bucket, moment, self.since)
        if self.first < self.since:
            start = case((moment < self.since, literal(self.first, moment.type)), else_=start)
        return start.label("start")


def _hours_of_exchanges(steps: _Steps, part: Part) -> Select[Any]:
    table, lines = part.hours(exchange_counts, steps.first, steps.until)
    start = steps.begun(table.c.start)
    return select(start, *_NO_LABEL, table.c.decision, table.c.exchanges).where(*lines)


def _hours_of_labels(steps: _Steps, part: Part) -> Select[Any]:
    table, lines = part.hours(label_counts, steps.first, steps.until)
    columns: list[ColumnElement[Any]] = [steps.begun(table.c.start)]
    columns += [table.c[name] for name in (*_NAMES, "decision", "exchanges")]
    return select(*columns).where(*lines)


def _rows_of_exchanges(steps: _Steps, part: Part) -> Select[Any]:
    start = steps.begun(_c.started_at)
    return (
        select(start, *_NO_LABEL, _c.decision, func.count().label("exchanges"))
        .where(_c.started_at >= steps.first, _c.started_at < steps.until, *part.of_rows())
        .group_by(start, _c.decision)
    )


def _rows_of_labels(steps: _Steps, part: Part) -> Select[Any]:
    start = steps.begun(_c.started_at)
    fired = _FIRED.lateral("fired")
    keys: list[ColumnElement[Any]] = [start, *(fired.c[name] for name in _NAMES), _c.decision]
    return (
        select(*keys, func.count().label("exchanges"))
        .select_from(exchanges.join(fired, text("true")))
        .where(_c.started_at >= steps.first, _c.started_at < steps.until, *part.of_rows())
        .group_by(*keys)
    )
