"""The summary of a day over a real log."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards.pages.exchanges import STEP, day_until
from dashboards.summary import Summaries
from tests.browser.traffic import write
from tests.factories import make_exchange
from tests.integration.test_dashboards import NOW


async def test_day_is_counted_once_for_all_who_look(postgres_url: str, engine: AsyncEngine):
    summaries = Summaries(STEP)
    window = day_until(NOW)

    async def counted(at: datetime) -> int:
        async with engine.connect() as connection:
            return (await summaries.of(connection, window, at)).totals.exchanges

    assert await counted(NOW) == 0
    await write(postgres_url, [make_exchange(started_at=NOW)])
    assert await counted(NOW + timedelta(seconds=4)) == 0
    assert await counted(NOW + timedelta(seconds=5)) == 1
    assert (
        await asyncio.gather(*(counted(NOW + timedelta(seconds=20)) for _ in range(3))) == [1] * 3
    )
