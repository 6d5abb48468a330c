"""Vectors of the log's prompts: of the right exchanges, within the budget, gone when they go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from guardrails.database.url import libpq_url
from guardrails.exchange_log.chain import Sealer
from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.embeddings import Prompt, catch_up, is_shown, keep, known, vectors_of
from guardrails.exchange_log.erasure import Target, erase
from guardrails.exchange_log.partitions import make_partitions
from guardrails.exchange_log.private_body import NOT_RECORDED, NOT_SCANNED
from guardrails.exchange_log.retention import retain
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Caller, Exchange
from tests.factories import make_blocked, make_exchange

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as connection:
        yield connection


class Encoder:
    """Gives each text a vector of its own, and remembers what it read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self.read += texts
        return [[1.0, len(text) / 100] + [0.0] * 382 for text in texts]


async def write(url: str, *exchanges: Exchange, **options) -> None:
    log = ExchangeLog(url, 10_000, **options)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    assert log.stats.written == len(exchanges)


async def embedded(connection: psycopg.AsyncConnection) -> set[UUID]:
    found = await connection.execute("SELECT id FROM exchange_embeddings")
    return {one for (one,) in await found.fetchall()}


async def test_what_a_rule_stopped_comes_first_then_a_sample_of_the_rest(postgres_url, connection):
    blocked = [make_blocked(started_at=NOON) for _ in range(5)]
    allowed = [make_exchange(started_at=NOON) for _ in range(200)]
    await write(postgres_url, *allowed, *blocked)
    done = await catch_up(connection, Encoder(), budget=1_000, share=0.25)
    found = await embedded(connection)
    assert found >= {UUID(one.id) for one in blocked}
    assert done.made == len(found)
    assert 20 < len(found) - 5 < 90, "about a quarter of the rest"
    assert not done.spent
    assert (await catch_up(connection, Encoder(), budget=1_000, share=0.25)).made == 0


async def test_the_budget_is_kept_and_what_it_did_not_reach_is_passed_over(
    postgres_url, connection
):
    blocked = [make_blocked(started_at=NOON) for _ in range(5)]
    await write(postgres_url, *[make_exchange(started_at=NOON) for _ in range(20)], *blocked)
    encoder = Encoder()
    done = await catch_up(connection, encoder, budget=3, share=1.0)
    assert (done.made, done.spent) == (3, True)
    assert await embedded(connection) <= {UUID(one.id) for one in blocked}
    await catch_up(connection, encoder, budget=100, share=1.0)
    assert len(encoder.read) == 3, "the budget of one minute is not spent in the next"


async def test_without_an_encoder_nothing_is_passed_over(postgres_url, connection):
    async def away(texts: Sequence[str]) -> list[list[float]]:
        raise OSError("nobody there")

    await write(postgres_url, make_blocked(started_at=NOON))
    with pytest.raises(OSError, match="nobody"):
        await catch_up(connection, away, budget=10, share=1.0)
    assert (await catch_up(connection, Encoder(), budget=10, share=1.0)).made == 1


async def test_a_text_that_the_log_does_not_show_is_not_read(postgres_url, connection):
    cipher = Cipher({"k": b"k" * 32}, b"secret")
    await write(postgres_url, make_exchange("hidden", started_at=NOON), seal=cipher.seal)
    withheld = [
        make_exchange(text, started_at=NOON) for text in (NOT_RECORDED, NOT_SCANNED, "[email]····")
    ]
    await write(postgres_url, *withheld, make_exchange("Write to [email]····.", started_at=NOON))
    encoder = Encoder()
    await catch_up(connection, encoder, budget=10, share=1.0)
    assert encoder.read == ["Write to [email]····."]
    assert not is_shown(None)


async def test_an_erasure_takes_the_vector_and_a_late_one_is_refused(postgres_url, connection):
    own = make_exchange("forget me", started_at=NOON, caller=Caller("k", "acme"))
    other = make_exchange("keep me", started_at=NOON, caller=Caller("k", "globex"))
    await write(postgres_url, own, other)
    await catch_up(connection, Encoder(), budget=10, share=1.0)
    sealer = Sealer(b"secret", lambda: NOON)
    await erase(
        connection, sealer, Target("acme"), now=NOON + timedelta(hours=1), by="t", reason="r"
    )
    assert await embedded(connection) == {UUID(other.id)}
    late = Prompt(UUID(own.id), own.started_at, "forget me")
    await keep(connection, [late], [[1.0] + [0.0] * 383])
    assert await embedded(connection) == {UUID(other.id)}


async def test_a_dropped_day_drops_its_vectors(postgres_url, connection):
    old = NOON - timedelta(days=40)
    await make_partitions(connection, old.date(), 1)
    await write(postgres_url, make_exchange(started_at=old), make_exchange(started_at=NOON))
    await catch_up(connection, Encoder(), budget=10, share=1.0)
    assert len(await embedded(connection)) == 2
    done = await retain(connection, Sealer(b"secret", lambda: NOON), (), 30, now=NOON)
    assert done.dropped == (old.date(),)
    assert len(await embedded(connection)) == 1
    found = await connection.execute("SELECT to_regclass('exchange_embeddings_2026_10_14')")
    assert await found.fetchone() == (None,)


async def test_vectors_that_are_there_are_found_and_kept_once(postgres_url, connection):
    rows = [make_exchange("a" * n, started_at=NOON + timedelta(days=n)) for n in range(1, 40)]
    await write(postgres_url, *rows)
    prompts = [Prompt(UUID(row.id), row.started_at, row.inputs[0].text) for row in rows]
    vectors = await vectors_of(Encoder(), [prompt.text for prompt in prompts])
    await keep(connection, prompts, vectors)
    await keep(connection, prompts, vectors)
    found = await known(connection, {prompt.id: prompt.started_at for prompt in prompts})
    assert found.keys() == {prompt.id for prompt in prompts}
    for prompt in prompts:
        assert found[prompt.id][1] == pytest.approx(len(prompt.text) / 100, rel=1e-3)
    assert await known(connection, {}) == {}
