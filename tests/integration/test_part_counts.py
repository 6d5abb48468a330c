"""Counts of a part of the log: the same whether hours were counted, or rows are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.part_counts import Part, overview_of
from guardrails.exchange_log.rollups import catch_up
from guardrails.types import Caller
from monitoring.connected import connected
from tests.browser.traffic import write
from tests.factories import make_blocked, make_exchange

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONG = "m" * 300


def traffic() -> list:
    made = []
    for n in range(12):
        at = NOW - n * timedelta(minutes=20) - timedelta(minutes=1)
        make = make_blocked if n % 3 == 0 else make_exchange
        tenant, route = ("acme" if n % 2 else "other"), ("a" if n < 6 else "b")
        made.append(make(started_at=at, caller=Caller("k", tenant), route=route, model=LONG))
    return made


@pytest.mark.parametrize("settled", [False, True])
async def test_a_part_is_counted_from_hours_and_rows_alike(
    postgres_url: str, engine: AsyncEngine, settled: bool
):
    await write(postgres_url, traffic())
    if settled:
        async with connected(engine) as connection:
            await catch_up(connection)
    async with engine.connect() as connection:
        for part, n in (
            (Part(), 12),
            (Part(route="a"), 6),
            (Part(model=LONG), 12),
            (Part(model="m" * 201), 12),
            (Part(model="m"), 0),
            (Part(tenants=("acme",)), 6),
            (Part("a", LONG, ("acme",)), 3),
            (Part(tenants=()), 0),
        ):
            hours = await overview_of(connection, NOW - 4 * HOUR, NOW, HOUR, part)
            rows = await overview_of(connection, NOW - 4 * HOUR, NOW, timedelta(minutes=30), part)
            assert hours.totals == rows.totals, part
            assert hours.totals.exchanges == n, part
            assert sum(bucket.exchanges for bucket in hours.buckets) == n
            assert len(hours.buckets) == 4
            assert (hours.totals.p50_seconds is None) == (not hours.reached)


async def test_durations_of_long_spans_are_not_told(postgres_url: str, engine: AsyncEngine):
    await write(postgres_url, traffic())
    async with engine.connect() as connection:
        month = await overview_of(connection, NOW - 30 * 24 * HOUR, NOW, 24 * HOUR, Part(route="a"))
    assert (month.totals.exchanges, month.totals.p50_seconds) == (6, None)
    assert Part().whole
    assert not Part(route="a").whole
