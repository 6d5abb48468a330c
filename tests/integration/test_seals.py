"""The chain of seals over a real log: what was done to a row shows, whoever did it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from guardrails.database.url import libpq_url
from guardrails.errors import ConfigError
from guardrails.exchange_log.chain import Sealer
from guardrails.exchange_log.one_row import one_row
from guardrails.exchange_log.settled import next_range, reached
from guardrails.exchange_log.verify import Day, Head, pending, verify
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Exchange
from tests.factories import make_blocked, make_exchange

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = b"only the monitor knows it"


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as connection:
        yield connection


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(SECRET, lambda: datetime.now(UTC))


async def write(url: str, *exchanges: Exchange) -> None:
    log = ExchangeLog(url, 10_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    assert log.stats.written == len(exchanges)


def some(count: int = 5, at: datetime = NOON) -> list[Exchange]:
    return [make_exchange(f"question {n}", started_at=at) for n in range(count)]


async def look(connection, secret: bytes | None = SECRET, **options) -> list[Day]:
    return [day async for day in verify(connection, secret, **options)]


async def faults(connection, **options) -> str:
    return "; ".join(fault for day in await look(connection, **options) for fault in day.faults)


async def test_an_untouched_log_verifies_day_by_day(connection, sealer, postgres_url) -> None:
    await write(postgres_url, *some(), make_blocked(started_at=NOON))
    await write(postgres_url, *some(3, NOON + timedelta(days=1)))
    assert await pending(connection) == 9
    sealed = await sealer.seal(connection)
    assert (sealed.rows, len(sealed.heads), await pending(connection)) == (9, 2, 0)
    await write(postgres_url, *some(2))
    await sealer.seal(connection)
    assert (await sealer.seal(connection)).seals == 0
    days = await look(connection)
    assert [(day.rows, day.faults) for day in days] == [(8, ()), (3, ())]
    assert days[0].head is not None
    assert days[0].head.number == 2


ATTACKS = {
    "changed": "UPDATE exchanges SET decision = 'flag' WHERE id = %(id)s",
    "changed text": "UPDATE exchanges SET inputs = '[]' WHERE id = %(id)s",
    "changed number": "UPDATE exchanges SET duration_seconds = 0.1 WHERE id = %(id)s",
    "removed": "DELETE FROM exchanges WHERE id = %(id)s",
    "moved": "UPDATE exchanges SET started_at = started_at + interval '1 day' WHERE id = %(id)s",
    "replaced": "UPDATE exchanges SET id = gen_random_uuid() WHERE id = %(id)s",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_whatever_is_done_to_a_sealed_row_is_found_and_named(
    attack: str, connection, sealer, postgres_url
) -> None:
    made = some()
    await write(postgres_url, *made, make_blocked(started_at=NOON))
    await sealer.seal(connection)
    done = await connection.execute(ATTACKS[attack], {"id": made[2].id})
    assert done.rowcount == 1
    said = await faults(connection)
    assert made[2].id in said
    assert not any(other.id in said for other in made if other is not made[2])


OTHER = """
SELECT attname, CASE atttypid::regtype::text
    WHEN 'text' THEN '"other"' WHEN 'boolean' THEN (NOT (to_jsonb(e)->>attname)::boolean)::text
    WHEN 'jsonb' THEN '[{"other": 1}]' WHEN 'text[]' THEN '["other"]'
    WHEN 'uuid' THEN to_jsonb(gen_random_uuid())::text
    WHEN 'timestamp with time zone' THEN '"2020-01-01T00:00:00.000001Z"' ELSE '7' END::jsonb
FROM exchanges e, pg_attribute
WHERE attrelid = 'exchanges'::regclass AND attnum > 0 AND NOT attisdropped
  AND attname NOT IN ('erased_at', 'erasure')
"""


async def test_no_column_of_a_row_is_left_out_of_its_digest(connection, postgres_url) -> None:
    await write(postgres_url, make_exchange(started_at=NOON))
    others = await (await connection.execute(OTHER)).fetchall()
    assert len(others) > 35
    for name, value in others:
        if name == "text_digest":
            value = "\\x07"
        row = await connection.execute(
            "SELECT exchange_digest(e) = exchange_digest(jsonb_populate_record(e, %s)) FROM"
            " exchanges e",
            (Jsonb({name: value}),),
        )
        assert await row.fetchone() == (False,), name


async def test_a_row_that_is_slipped_into_the_past_is_found(connection, sealer, postgres_url):
    await write(postgres_url, *some(2))
    await write(postgres_url, *some(2, NOON + timedelta(days=1)))
    await sealer.seal(connection)
    for day, forged in ((0, "min(xact)"), (0, "max(xact)"), (5, "max(xact)")):
        async with connection.transaction(force_rollback=True):
            await connection.execute(
                "CREATE TEMP TABLE forged ON COMMIT DROP AS SELECT * FROM exchanges LIMIT 1"
            )
            await connection.execute(
                f"UPDATE forged SET id = gen_random_uuid(), started_at = %s,"
                f" xact = (SELECT {forged} FROM exchanges)",
                (NOON + timedelta(days=day),),
            )
            await connection.execute("INSERT INTO exchanges SELECT * FROM forged")
            below = await reached(connection, "seal")
            counted = "SELECT count(*) FROM exchanges WHERE xact < %s"
            assert await one_row(connection, counted, (below,)) == (5,)
    # The same, committed, through verify itself.
    await connection.execute(
        "INSERT INTO exchanges SELECT (jsonb_populate_record(e, jsonb_build_object("
        "'id', gen_random_uuid()))).* FROM exchanges e ORDER BY xact LIMIT 1"
    )
    assert "1 slipped in" in await faults(connection)


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("UPDATE exchange_seals SET digest = sha256('x') WHERE number = 1", "seal 1 was changed"),
        ("UPDATE exchange_seals SET sealed_at = now() WHERE number = 1", "seal 1 was changed"),
        ("DELETE FROM exchange_seals WHERE number = 1", "the chain is broken before seal 2"),
        ("DELETE FROM exchange_seals WHERE number = 2", "slipped in"),
        ("DELETE FROM exchange_seals", "slipped in"),
    ],
)
async def test_a_seal_that_was_touched_is_found(
    tampering: str, said: str, connection, sealer, postgres_url
) -> None:
    for _ in range(2):
        await write(postgres_url, *some(2))
        await sealer.seal(connection)
    assert await faults(connection) == ""
    await connection.execute(tampering)
    assert said in await faults(connection)


async def test_a_chain_made_anew_without_the_secret_does_not_pass(connection, sealer, postgres_url):
    made = some()
    await write(postgres_url, *made)
    await sealer.seal(connection)
    await connection.execute("DELETE FROM exchanges WHERE id = %s", (made[0].id,))
    await connection.execute("DELETE FROM exchange_seals")
    await connection.execute("UPDATE log_progress SET xact = 0")
    await Sealer(None, lambda: datetime.now(UTC)).seal(connection)
    assert "not keyed" in await faults(connection)
    await connection.execute("DELETE FROM exchange_seals")
    await connection.execute("UPDATE log_progress SET xact = 0")
    await Sealer(b"a guess", lambda: datetime.now(UTC)).seal(connection)
    assert "made with another secret" in await faults(connection)


async def test_an_end_that_was_cut_off_shows_against_the_heads_seen_before(
    connection, sealer, postgres_url
) -> None:
    kept = some(2)
    await write(postgres_url, *kept)
    await sealer.seal(connection)
    last = some(2)
    await write(postgres_url, *last)
    await sealer.seal(connection)
    [day] = await look(connection)
    heads = {day.day: day.head}
    assert await faults(connection, heads=heads) == ""
    await connection.execute("DELETE FROM exchanges WHERE id = ANY(%s)", ([e.id for e in last],))
    await connection.execute("DELETE FROM exchange_seals WHERE number = 2")
    assert await faults(connection) == ""
    assert "seal 2, which was seen before" in await faults(connection, heads=heads)
    await connection.execute("DELETE FROM exchanges")
    await connection.execute("DELETE FROM exchange_seals")
    gone = {day.day: Head(1, "00")}
    assert "seal 1, which was seen before" in await faults(connection, heads=gone)


async def test_seals_without_a_secret_verify_without_one(connection, postgres_url) -> None:
    await write(postgres_url, *some())
    await Sealer(None, lambda: datetime.now(UTC)).seal(connection)
    assert await faults(connection, secret=None) == ""


async def test_a_keyed_seal_is_not_taken_for_good_without_the_secret(
    connection, sealer, postgres_url
) -> None:
    await write(postgres_url, *some())
    await sealer.seal(connection)
    assert "needs BANISTER_SEAL_SECRET" in await faults(connection, secret=None)


async def test_a_row_whose_transaction_is_still_open_is_not_passed_over(
    connection, sealer, postgres_url
) -> None:
    await write(postgres_url, *some(2))
    copy = (
        "INSERT INTO exchanges SELECT (jsonb_populate_record(e, jsonb_build_object("
        "'id', gen_random_uuid(), 'xact', pg_current_xact_id()::text::bigint))).*"
        " FROM exchanges e LIMIT 1"
    )
    async with await psycopg.AsyncConnection.connect(libpq_url(postgres_url)) as slow:
        await slow.execute(copy)
        await write(postgres_url, *some(3))
        assert (await sealer.seal(connection)).rows == 2
        await slow.commit()
    assert (await sealer.seal(connection)).rows == 4
    assert await faults(connection) == ""


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 100])
async def test_ranges_follow_each_other_whatever_a_transaction_wrote(
    rows: int, connection, postgres_url
) -> None:
    sizes = (3, 1, 4, 2)
    for size in sizes:
        await write(postgres_url, *some(size))
    taken, ranges, end = 0, 0, 0
    while True:
        async with next_range(connection, "test", rows=rows) as found:
            if found is None:
                break
            assert found.start == end
            end, ranges = found.end, ranges + 1
            counted = "SELECT count(*) FROM exchanges WHERE xact >= %s AND xact < %s"
            taken += (await one_row(connection, counted, (found.start, found.end)))[0]
    assert taken == sum(sizes)
    assert ranges <= 4


async def test_two_sealers_at_once_seal_each_row_once(connection, sealer, postgres_url) -> None:
    await write(postgres_url, *some(50))
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as second:
        done = await asyncio.gather(sealer.seal(connection), sealer.seal(second))
    assert sum(sealed.rows for sealed in done) == 50
    assert await faults(connection) == ""


async def test_a_query_without_its_row_says_so(connection) -> None:
    with pytest.raises(LookupError, match="no row"):
        await one_row(connection, "SELECT 1 WHERE false")


async def test_a_database_restored_from_a_dump_is_noticed(connection, postgres_url) -> None:
    await connection.execute("INSERT INTO log_progress VALUES ('seal', 1000000000000)")
    with pytest.raises(ConfigError, match="restored from a dump"):
        async with next_range(connection, "seal"):
            pass
    await connection.execute("INSERT INTO log_progress VALUES ('shift', 1000000000000)")
    async with next_range(connection, "seal") as found:
        assert found is None
