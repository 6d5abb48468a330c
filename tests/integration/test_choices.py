"""The names that a filter bar offers: of the last time, of the visitor's tenants, however many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.database import make_engine
from guardrails.database.url import libpq_url
from guardrails.exchange_log.choices import Choices, choices
from guardrails.exchange_log.rollups import catch_up
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Caller
from tests.factories import make_exchange

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MONTH = timedelta(days=30)


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[AsyncConnection]:
    log = ExchangeLog(postgres_url, 10_000)
    await log.start()
    for n in range(40):
        exchange = make_exchange(
            started_at=NOON - timedelta(days=n),
            route=f"route-{n % 2}",
            model=f"model-{n % 5}",
            caller=Caller("k", f"tenant-{n:02}"),
        )
        assert log.append(exchange)
    await log.stop()
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as upkeep:
        await catch_up(upkeep)
    engine = make_engine(postgres_url)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def test_names_of_the_last_time_in_their_order(connection):
    found = await choices(connection, NOON - MONTH, 200)
    assert found.routes == ("route-0", "route-1")
    assert found.models == tuple(f"model-{n}" for n in range(5))
    assert found.tenants == tuple(f"tenant-{n:02}" for n in range(31))
    assert (await choices(connection, NOON - MONTH, 3)).tenants == (
        "tenant-00",
        "tenant-01",
        "tenant-02",
    )
    assert await choices(connection, NOON + MONTH, 3) == Choices()


async def test_a_visitor_sees_only_the_names_of_its_tenants(connection):
    found = await choices(connection, NOON - MONTH, 200, tenants=("tenant-03", "tenant-39"))
    assert found == Choices(("route-1",), ("model-3",), ("tenant-03",))
    assert await choices(connection, NOON - MONTH, 200, tenants=()) == Choices()
