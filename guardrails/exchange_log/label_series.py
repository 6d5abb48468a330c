"""How often did each detector's labels fire, over time, in a part of the log?

As `part_counts.py`: hours that the rollups job has counted are added up, and newer rows, or a span
that is not of whole hours, are read themselves.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import Select, func, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.part_counts import HOUR, Part
from guardrails.exchange_log.rollups import JOB
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.upkeep_tables import label_counts, log_progress

_c, _l = exchanges.c, label_counts.c

_FIRED = text(
    "(SELECT DISTINCT reason->>'detector' AS detector, reason->>'label' AS label,"
    " coalesce((reason->>'shadow')::boolean, false) AS shadow"
    " FROM jsonb_array_elements(exchanges.reasons) AS reason)"
).columns(label_counts.c.detector, label_counts.c.label, label_counts.c.shadow)


class LabelCount(Struct, frozen=True):
    """In how many exchanges of one step a label fired, by what was decided in the end."""

    start: datetime
    detector: str
    label: str
    shadow: bool
    decision: str
    exchanges: int


async def label_series(
    connection: AsyncConnection, since: datetime, until: datetime, bucket: timedelta, part: Part
) -> list[LabelCount]:
    """Every label that fired, in steps of `bucket` from `since`; an exchange counts once a label.

    A label fires where a rule on it asks for something; one without a rule never does.
    """
    hourly = not any(moment.minute or moment.second for moment in (since, until)) and not (
        bucket % HOUR
    )
    live = _by_rows(since, until, bucket, part)
    if hourly:
        border = (
            select(func.coalesce(func.max(log_progress.c.xact), 0))
            .where(log_progress.c.job == JOB)
            .scalar_subquery()
        )
        both = union_all(
            _by_hours(since, until, bucket, part), live.where(_c.xact >= border)
        ).subquery()
    else:
        both = live.subquery()
    names = ("start", "detector", "label", "shadow", "decision")
    columns = [both.c[name] for name in names]
    statement = (
        select(*columns, func.sum(both.c.exchanges).label("exchanges"))
        .group_by(*columns)
        .order_by(*columns)
    )
    rows = await connection.execute(statement)
    return [
        LabelCount(row.start, row.detector, row.label, row.shadow, row.decision, int(row.exchanges))
        for row in rows
    ]


def _by_hours(
    since: datetime, until: datetime, bucket: timedelta, part: Part
) -> Select[tuple[object, ...]]:
    start = func.date_bin(bucket, _l.start, since).label("start")
    keys = (start, _l.detector, _l.label, _l.shadow, _l.decision)
    return (
        select(*keys, func.sum(_l.exchanges).label("exchanges"))
        .where(_l.step == 3600, _l.start >= since, _l.start < until, *part.of_counts(label_counts))
        .group_by(*keys)
    )


def _by_rows(
    since: datetime, until: datetime, bucket: timedelta, part: Part
) -> Select[tuple[object, ...]]:
    start = func.date_bin(bucket, _c.started_at, since).label("start")
    fired = _FIRED.lateral("fired")
    keys = (start, fired.c.detector, fired.c.label, fired.c.shadow, _c.decision)
    return (
        select(*keys, func.count().label("exchanges"))
        .select_from(exchanges.join(fired, text("true")))
        .where(_c.started_at >= since, _c.started_at < until, *part.of_rows())
        .group_by(*keys)
    )
