"""Where are the weekly reports? In `weekly_reports`: frozen data, HTML and PDF, written once."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, Select, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.report_tables import weekly_reports

_table = weekly_reports.c


class Made(Struct, frozen=True):
    """One report without its bodies. `sha256` is that of its frozen document."""

    id: UUID
    week_start: date
    sha256: str
    made_at: datetime
    mailed_at: datetime | None

    @property
    def week(self) -> str:
        """Its name, as `2026-W47`."""
        year, week, _ = self.week_start.isocalendar()
        return f"{year}-W{week:02d}"


class Report(Made, frozen=True, kw_only=True):
    """One report with all of it."""

    frozen: Any
    html: bytes
    pdf: bytes


async def keep(
    engine: AsyncEngine,
    week_start: date,
    *,
    frozen: Any,
    html: bytes,
    pdf: bytes,
    sha256: str,
    now: datetime,
) -> bool:
    """Write a week's report; False where there is one, which stands as it is."""
    statement = (
        insert(weekly_reports)
        .values(
            week_start=week_start, frozen=frozen, html=html, pdf=pdf, sha256=sha256, made_at=now
        )
        .on_conflict_do_nothing(index_elements=["week_start"])
        .returning(_table.id)
    )
    async with engine.begin() as connection:
        return (await connection.execute(statement)).one_or_none() is not None


async def find(engine: AsyncEngine, week_start: date) -> Report | None:
    """The report of the week that begins on a Monday."""
    async with engine.connect() as connection:
        row = (
            await connection.execute(select(weekly_reports).where(_table.week_start == week_start))
        ).one_or_none()
    return None if row is None else _report(row)


async def latest(engine: AsyncEngine, *, limit: int = 60) -> list[Made]:
    """The reports there are, the newest first."""
    statement: Select[Any] = (
        select(*(_table[name] for name in Made.__struct_fields__))
        .order_by(_table.week_start.desc())
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [Made(**row._mapping) for row in await connection.execute(statement)]


async def mailed(engine: AsyncEngine, week_start: date, now: datetime) -> bool:
    """Note that a report went out; False where it had before, and so need not go again."""
    statement = (
        update(weekly_reports)
        .where(_table.week_start == week_start, _table.mailed_at.is_(None))
        .values(mailed_at=now)
    )
    async with engine.begin() as connection:
        return (await connection.execute(statement)).rowcount == 1


def _report(row: Row[Any]) -> Report:
    return Report(**{name: getattr(row, name) for name in Report.__struct_fields__})
