"""Where are the few rows that a page asks for, among millions that it does not?

An index leads to a tenant's rows, another to those that were blocked, none to both. Where both are
many and together they are few, a walk along either reads millions of rows for a page of forty, and
for an empty page all of them. The counts of the hours know better: only hours that hold such a row
are looked into, the newest first, and the rows that are not counted yet by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Interval,
    Row,
    bindparam,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.filters import HOUR, Filter
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.rows import statement
from guardrails.exchange_log.search import JOB, NEWEST_FIRST, newest_of
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.upkeep_tables import exchange_counts, log_progress

MOST_HOURS = 50

_c, _k = exchanges.c, exchange_counts.c


async def find(
    connection: AsyncConnection,
    wanted: Filter,
    further: Sequence[ColumnElement[bool]],
    limit: int,
    before: datetime | None,
    cipher: Cipher | None,
) -> list[Row[Any]]:
    """The newest rows that `wanted` names and that meet the `further` conditions.

    Cost: some milliseconds for the hours, one for each that is looked into; most of it is the walk
    over the counts where there is no such row at all.
    """
    border = select(func.coalesce(func.max(log_progress.c.xact), 0)).where(
        log_progress.c.job == JOB
    )
    xact = (await connection.execute(border)).scalar_one()
    conditions = [*wanted.of_rows(), *further]
    fresh = statement(cipher).where(_c.xact >= xact, *conditions).order_by(*NEWEST_FIRST)
    rows = list(await connection.execute(fresh.limit(limit)))
    if wanted.with_own:
        # They are few, and all lie under one tenant.
        own = [_c.tenant == OWN_TENANT, _c.xact < xact, *conditions]
        query = statement(cipher).where(*own).order_by(*NEWEST_FIRST)
        rows += list(await connection.execute(query.limit(limit)))
    inside = [_c.tenant != OWN_TENANT, _c.xact < xact, *conditions]
    last, found = before, 0
    while found < limit and (hours := await _hours(connection, wanted, last, limit - found)):
        more = list(await connection.execute(_of(hours, inside, limit - found, cipher)))
        rows, found, last = rows + more, found + len(more), hours[-1]
    rows.sort(key=lambda row: (row.started_at, row.id), reverse=True)
    return rows[:limit]


async def _hours(
    connection: AsyncConnection, wanted: Filter, before: datetime | None, limit: int
) -> list[datetime]:
    """The newest hours that begin before a moment and together hold so many such rows, or all.

    Some may hold fewer than is counted: where the page began, or of a model nobody served.
    """
    count = func.sum(_k.failed if wanted.failed else _k.exchanges)
    query = select(_k.start, count).where(*wanted.of_hours()).group_by(_k.start)
    if before is not None:
        query = query.where(_k.start < before)
    hours, counted = [], 0
    for start, rows in await connection.execute(query.order_by(_k.start.desc()).limit(MOST_HOURS)):
        hours.append(start)
        counted += rows
        if counted >= limit:
            break
    return hours


def _of(
    hours: Sequence[datetime],
    conditions: Sequence[ColumnElement[bool]],
    limit: int,
    cipher: Cipher | None,
) -> Any:
    """The rows of these hours: first their keys, hour by hour, then the newest of them whole."""
    listed = bindparam("hours", hours, type_=ARRAY(DateTime(timezone=True)))
    hour = func.unnest(listed).table_valued("start").render_derived().alias("hour")
    inside = (
        select(_c.started_at, _c.id)
        .where(
            _c.started_at >= hour.c.start,
            _c.started_at < hour.c.start + literal(HOUR, Interval),
            *conditions,
        )
        .order_by(*NEWEST_FIRST)
        .limit(limit)
        .lateral("inside")
    )
    keys = select(inside.c.started_at, inside.c.id).select_from(hour.join(inside, true()))
    return newest_of(keys, limit, cipher)
