"""Pages of rare rows: the same rows as a plain scan gives, whatever is counted of them yet."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.database import make_engine
from guardrails.database.url import libpq_url
from guardrails.exchange_log import query
from guardrails.exchange_log.filters import Filter
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.rollups import catch_up
from guardrails.exchange_log.search import NEWEST_FIRST
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Action, Caller, Exchange, Failure, Verdict
from tests.factories import make_exchange, make_reason

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def traffic(seed: int, rows: int) -> list[Exchange]:
    chance = random.Random(seed)
    made = []
    for _ in range(rows):
        at = NOON - timedelta(seconds=chance.randrange(5 * 86_400))
        action = chance.choice([Action.ALLOW] * 8 + [Action.BLOCK, Action.REDACT])
        verdict = Verdict(action, () if action is Action.ALLOW else (make_reason(action=action),))
        failure = Failure("upstream_error", "No upstream.", 502) if chance.random() < 0.1 else None
        made.append(
            make_exchange(
                reply=None if failure else "Yes.",
                started_at=at,
                verdict=verdict,
                failure=failure,
                upstream=None if failure else "gpu-1",
                route=chance.choice(["default", "docs"]),
                model=chance.choice(["small", "large"]),
                caller=Caller("k", chance.choice(["acme", "globex", OWN_TENANT])),
            )
        )
    return made


async def write(url: str, exchanges: list[Exchange], *, count: bool) -> None:
    log = ExchangeLog(url, 10_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    if count:
        async with await psycopg.AsyncConnection.connect(
            libpq_url(url), autocommit=True
        ) as connection:
            await catch_up(connection)


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[AsyncConnection]:
    engine = make_engine(postgres_url)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def test_every_filter_pages_through_the_rows_that_a_scan_finds(postgres_url, connection):
    await write(postgres_url, traffic(1, 250), count=True)
    await write(postgres_url, traffic(2, 50), count=False)
    choices = {
        "decision": (None, "block", "flag"),
        "route": (None, "docs"),
        "model": (None, "large"),
        "tenant": (None, "acme", OWN_TENANT),
        "tenants": (None, (), ("acme", "globex"), ("acme", OWN_TENANT)),
        "failed": (None, True),
        "since": (None, NOON - 50 * HOUR - timedelta(minutes=20)),
        "until": (None, NOON - 20 * HOUR + timedelta(minutes=20)),
    }
    several = 0
    combinations = list(itertools.product(*choices.values()))
    for values in random.Random(4).sample(combinations, 90):
        wanted = dict(zip(choices, values, strict=True))
        rows = select(exchanges.c.id).where(*Filter(**wanted).of_rows()).order_by(*NEWEST_FIRST)
        expected = list((await connection.execute(rows)).scalars())
        several += len(expected) > 7
        found, before = [], None
        while page := await query.latest(connection, 7, before, **wanted):
            found += page
            before = page[-1].place
        assert [row.id for row in found] == expected, wanted
    assert several > 10


async def test_a_page_that_is_filled_asks_for_no_more_hours(postgres_url, connection):
    await write(postgres_url, traffic(3, 200), count=True)
    wanted = {"tenant": "acme", "decision": "allow"}
    assert len(await query.latest(connection, 3, **wanted)) == 3
    assert await query.latest(connection, 0, **wanted) == []
    assert await query.latest(connection, 3, tenant="acme", decision="flag") == []
