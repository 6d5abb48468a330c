"""Similar exchanges over a real log: the nearest first, filtered, honest about what has none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.database import make_engine
from guardrails.database.url import libpq_url
from guardrails.exchange_log.embeddings import catch_up
from guardrails.exchange_log.rollups import catch_up as count
from guardrails.exchange_log.similar import Coverage, NotEmbedded, coverage, similar
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Caller, Exchange
from tests.factories import make_blocked, make_exchange

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ABOUT = ("stairs", "cakes", "boats")


async def encode(texts: Sequence[str]) -> list[list[float]]:
    """As many dimensions as there are topics; the length of a text turns it a little."""
    return [
        [float(text.count(word)) for word in ABOUT] + [len(text) / 1_000] + [0.0] * 380
        for text in texts
    ]


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[AsyncConnection]:
    engine = make_engine(postgres_url)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def write(url: str, *exchanges: Exchange, share: float = 1.0) -> None:
    log = ExchangeLog(url, 10_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    assert log.stats.written == len(exchanges)
    async with await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True) as connection:
        await catch_up(connection, encode, budget=1_000, share=share)
        await count(connection)


async def test_the_nearest_come_first_over_all_days(postgres_url, connection):
    rows = [
        make_exchange(f"about {word}{' ' * n}", started_at=NOON - timedelta(days=n % 5))
        for n in range(1, 21)
        for word in ABOUT
    ]
    await write(postgres_url, *rows)
    found = await similar(connection, "stairs", 20, embed=encode)
    assert {one.row.excerpt.split()[1] for one in found} == {"stairs"}
    nearness = [one.similarity for one in found]
    assert nearness == sorted(nearness, reverse=True)
    assert nearness[0] > 0.99
    assert len({one.row.started_at.date() for one in found}) == 5


async def test_an_exchange_is_not_its_own_neighbour_and_filters_hold(postgres_url, connection):
    mine = [
        make_exchange("stairs", started_at=NOON, caller=Caller("k", "acme")),
        make_exchange("stairs and cakes", started_at=NOON, caller=Caller("k", "acme")),
        make_blocked("stairs", started_at=NOON - timedelta(days=1), caller=Caller("k", "acme")),
    ]
    others = [
        make_exchange("stairs", started_at=NOON, caller=Caller("k", "globex")) for _ in range(300)
    ]
    await write(postgres_url, *mine, *others)
    to = UUID(mine[0].id)
    ids = [one.row.id for one in await similar(connection, to, tenant="acme")]
    assert ids == [UUID(mine[2].id), UUID(mine[1].id)]
    ids = [one.row.id for one in await similar(connection, to, tenant="acme", since=NOON)]
    assert ids == [UUID(mine[1].id)]
    ids = [one.row.id for one in await similar(connection, to, decision="block")]
    assert ids == [UUID(mine[2].id)]
    assert len(await similar(connection, to, 5)) == 5
    many = await similar(connection, to, 5, tenant="globex", decision="allow")
    assert [one.row.tenant for one in many] == ["globex"] * 5


async def test_one_without_a_vector_is_encoded_where_that_can_be(postgres_url, connection):
    quiet = make_exchange("stairs", started_at=NOON)
    await write(postgres_url, quiet, make_blocked("stairs", started_at=NOON), share=0.0)
    to = UUID(quiet.id)
    with pytest.raises(NotEmbedded):
        await similar(connection, to)
    [one] = await similar(connection, to, embed=encode)
    assert one.row.decision == "block"
    with pytest.raises(NotEmbedded):
        await similar(connection, uuid4(), embed=encode)


async def test_coverage_says_how_many_of_how_many_can_be_found(postgres_url, connection):
    assert await coverage(connection) == Coverage(0, 0)
    before = [make_exchange(started_at=NOON - timedelta(days=1)) for _ in range(6)]
    await write(postgres_url, *before, make_blocked(started_at=NOON), share=0.0)
    assert await coverage(connection) == Coverage(1, 7)
    assert await coverage(connection, NOON - timedelta(days=2), NOON) == Coverage(0, 6)
