"""What many look at, counted over a real log, as each visitor sees it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards.filters import Filters
from dashboards.kept import Kept
from dashboards.scoped import ScopedLog
from guardrails.types import Caller
from tests.browser.traffic import write
from tests.factories import make_exchange
from tests.integration.test_dashboards import NOW

HOUR = timedelta(hours=1)


async def test_day_is_counted_once_for_all_who_look(postgres_url: str, engine: AsyncEngine):
    kept = Kept()

    async def counted(at: datetime, **chosen: str) -> int:
        filters = Filters(**chosen)

        async def read() -> int:
            async with engine.connect() as connection:
                log = ScopedLog(connection, None)
                seen = await log.overview(filters.window(NOW), HOUR, filters, NOW)
            return seen.totals.exchanges

        return await kept.of(filters, at, read)

    assert await counted(NOW) == 0
    await write(postgres_url, [make_exchange(started_at=NOW, route="support")])
    assert await counted(NOW + timedelta(seconds=4)) == 0
    assert await counted(NOW + timedelta(seconds=4), route="support") == 1
    assert await counted(NOW + timedelta(seconds=4), route="legal") == 0
    assert await counted(NOW + timedelta(seconds=5)) == 1
    assert (
        await asyncio.gather(*(counted(NOW + timedelta(seconds=20)) for _ in range(3))) == [1] * 3
    )


async def test_a_long_read_holds_up_its_own_question_only():
    kept, ended = Kept(), asyncio.Event()

    async def long() -> str:
        await ended.wait()
        return "a month"

    async def short() -> str:
        return "a day"

    waiting = asyncio.create_task(kept.of("month", NOW, long))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(kept.of("day", NOW, short), 5) == "a day"
    ended.set()
    assert await waiting == await kept.of("month", NOW, short) == "a month"


async def test_a_visitor_of_some_tenants_counts_theirs_only(postgres_url: str, engine: AsyncEngine):
    tenants = ("acme", "acme", "other")
    await write(
        postgres_url,
        [make_exchange(started_at=NOW, caller=Caller("k", tenant)) for tenant in tenants],
    )
    async with engine.connect() as connection:
        for seen, chosen, n in (
            (None, None, 3),
            (("acme",), None, 2),
            (("acme",), "other", 0),
            (("acme", "other"), "other", 1),
            ((), None, 0),
        ):
            filters = Filters(tenant=chosen)
            log = ScopedLog(connection, seen)
            found = await log.overview(filters.window(NOW), HOUR, filters, NOW)
            assert found.totals.exchanges == n, (seen, chosen)
            choices = await log.choices(NOW)
            assert set(choices.tenants) == (set(tenants) if seen is None else set(seen))
