from __future__ import annotations

from datetime import UTC, date, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.report_tables import weekly_reports
from monitoring.report import records

NOW = datetime(2026, 11, 23, 0, 5, tzinfo=UTC)
MONDAY = date(2026, 11, 16)


async def keep(engine: AsyncEngine, html: bytes, monday: date = MONDAY) -> bool:
    return await records.keep(
        engine, monday, frozen={"share": 0.1}, html=html, pdf=b"%PDF", sha256="ab", now=NOW
    )


async def test_a_report_is_written_once_and_stands(engine: AsyncEngine):
    assert await keep(engine, b"first")
    assert not await keep(engine, b"second")
    found = await records.find(engine, MONDAY)
    assert found is not None
    assert (found.html, found.pdf, found.frozen) == (b"first", b"%PDF", {"share": 0.1})
    assert found.week == "2026-W47"
    async with engine.connect() as connection:
        rows = await connection.execute(select(func.count()).select_from(weekly_reports))
    assert rows.scalar_one() == 1


async def test_a_week_without_a_report_has_none(engine: AsyncEngine):
    assert await records.find(engine, MONDAY) is None


async def test_the_newest_stand_first(engine: AsyncEngine):
    await keep(engine, b"a")
    await keep(engine, b"b", date(2026, 11, 23))
    assert [one.week for one in await records.latest(engine)] == ["2026-W48", "2026-W47"]


async def test_it_is_noted_once_that_a_report_went_out(engine: AsyncEngine):
    await keep(engine, b"a")
    assert await records.mailed(engine, MONDAY, NOW)
    assert not await records.mailed(engine, MONDAY, NOW)
    assert (await records.latest(engine))[0].mailed_at == NOW
