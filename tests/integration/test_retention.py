"""Retention, holds and erasure over a real log, and the chain that must hold through all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from guardrails.appeals import lodge
from guardrails.database.url import libpq_url
from guardrails.exchange_log.chain import Sealer
from guardrails.exchange_log.erasure import Target, erase, names_of
from guardrails.exchange_log.holds import end_user_key, hold, holding, release
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.partitions import make_partitions
from guardrails.exchange_log.privacy import pseudonym
from guardrails.exchange_log.retention import retain
from guardrails.exchange_log.verify import verify
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.settings import RetentionSettings
from guardrails.types import Caller, Exchange
from monitoring import reviews
from tests.factories import make_blocked, make_exchange

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = b"secret"
KEEP_30 = {"rules": (), "default_days": 30}
SAID = "something to forget"


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as connection:
        yield connection


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(SECRET, lambda: NOW)


async def write(url: str, *exchanges: Exchange) -> None:
    log = ExchangeLog(url, 10_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    assert log.stats.written == len(exchanges)


def said(days_ago: float, tenant: str = "acme", user: str | None = None, **changes) -> Exchange:
    exchange = make_exchange(
        SAID,
        SAID,
        started_at=NOW - timedelta(days=days_ago),
        caller=Caller("k1", tenant),
        **changes,
    )
    return exchange.evolve(request={**exchange.request, "user": user}) if user else exchange


def copy_of(source: Exchange, **changes) -> Exchange:
    """What an audit asks two days ago, of that exchange's prompt."""
    return said(2, OWN_TENANT, **{"source_id": source.id, **changes})


async def texts(connection) -> dict[str, bool]:
    found = await connection.execute(
        "SELECT e.id::text, e::text LIKE %s FROM exchanges e", (f"%{SAID}%",)
    )
    return dict(await found.fetchall())


async def check_chain(connection) -> None:
    days = [day async for day in verify(connection, SECRET)]
    assert [fault for day in days for fault in day.faults] == []


async def partitions(connection) -> set[str]:
    found = await connection.execute(
        "SELECT relname FROM pg_class WHERE relname LIKE 'exchange%\\_20%' AND relkind = 'r'"
    )
    return {name for (name,) in await found.fetchall()}


async def test_a_day_that_is_kept_no_longer_is_dropped_whole(
    connection, sealer, postgres_url
) -> None:
    await make_partitions(connection, date(2026, 10, 1), 3)
    old, kept, odd = said(52), said(29.9), said(60)
    await write(postgres_url, old, kept, odd)
    await sealer.seal(connection)
    assert (await partitions(connection)) >= {"exchanges_2026_10_02"}
    done = await retain(connection, sealer, **KEEP_30, now=NOW)
    assert {date(2026, 10, 1), date(2026, 10, 2), date(2026, 10, 3)} <= set(done.dropped)
    assert date(2026, 9, 24) in done.dropped
    assert await texts(connection) == {kept.id: True}
    assert not any("_2026_10_0" in name for name in await partitions(connection))
    await check_chain(connection)
    again = await retain(connection, sealer, **KEEP_30, now=NOW)
    assert again.dropped == ()


async def test_a_row_that_comes_after_its_day_was_dropped_goes_too(
    connection, sealer, postgres_url
) -> None:
    await write(postgres_url, said(52))
    await sealer.seal(connection)
    await retain(connection, sealer, **KEEP_30, now=NOW)
    await write(postgres_url, said(52))
    await sealer.seal(connection)
    await check_chain(connection)
    assert len((await retain(connection, sealer, **KEEP_30, now=NOW)).dropped) == 1
    assert await texts(connection) == {}
    await check_chain(connection)


async def test_nothing_goes_where_no_time_is_set(connection, sealer, postgres_url) -> None:
    old = said(2000)
    await write(postgres_url, old)
    done = await retain(connection, sealer, (), None, now=NOW)
    assert (done.dropped, done.erased) == ((), 0)
    assert await texts(connection) == {old.id: True}


async def test_the_first_rule_that_fits_holds(connection, sealer, postgres_url) -> None:
    rules = (
        RetentionSettings(tenants=("clinic",), routes=("audit",), days=90),
        RetentionSettings(tenants=("clinic",), days=7),
        RetentionSettings(routes=("audit",), days=60),
    )
    short, audit, plain, both = (
        said(10, "clinic"),
        said(50, route="audit"),
        said(10),
        said(80, "clinic", route="audit"),
    )
    late = said(40)
    await write(postgres_url, short, audit, plain, both, late)
    await sealer.seal(connection)
    done = await retain(connection, sealer, rules, 30, now=NOW)
    assert await texts(connection) == {
        short.id: False,
        late.id: False,
        audit.id: True,
        plain.id: True,
        both.id: True,
    }
    assert done.erased == 2
    await check_chain(connection)
    assert (await retain(connection, sealer, rules, 30, now=NOW)).erased == 0


async def test_what_is_held_stays_until_it_is_released(connection, sealer, postgres_url) -> None:
    evidence, tenants, other = said(52), said(52, "acme-legal"), said(52)
    await write(postgres_url, evidence, tenants, other)
    await sealer.seal(connection)
    [first] = await hold(
        connection, kind="evidence", exchange_id=evidence.id, reason="alert 7", by="monitor"
    )
    [second] = await hold(connection, tenant="acme-legal", reason="case 12", by="ann")
    assert [one.reason for one in await holding(connection)] == ["alert 7", "case 12"]
    done = await retain(connection, sealer, **KEEP_30, now=NOW)
    assert (done.dropped, len(done.held), done.erased) == ((), 1, 1)
    assert await texts(connection) == {evidence.id: True, tenants.id: True, other.id: False}
    await check_chain(connection)
    assert await release(connection, first, NOW)
    assert not await release(connection, first, NOW)
    await retain(connection, sealer, **KEEP_30, now=NOW)
    assert (await texts(connection))[evidence.id] is False
    assert await release(connection, second, NOW)
    assert len((await retain(connection, sealer, **KEEP_30, now=NOW)).dropped) == 1
    assert await texts(connection) == {}
    await check_chain(connection)


@pytest.mark.parametrize("sealed_before", [True, False])
async def test_an_erased_user_leaves_tombstones_that_still_verify(
    sealed_before: bool, connection, sealer, postgres_url
) -> None:
    named = pseudonym(SECRET, "acme", "ann")
    rows = {
        "ann": said(1, user="ann"),
        "ann in the field of before": said(2, user="ann"),
        "ann under her pseudonym": said(3, user=named),
        "bob": said(1, user="bob"),
        "another tenant's ann": said(1, "globex", user="ann"),
        "nobody": said(1),
    }
    await write(postgres_url, *rows.values())
    if sealed_before:
        await sealer.seal(connection)
    target = Target("acme", names_of("ann", named))
    done = await erase(connection, sealer, target, now=NOW, by="ann@dpo", reason="request 9")
    assert (done.erased, done.held) == (3, 0)
    await sealer.seal(connection)
    left = await texts(connection)
    assert {name for name, row in rows.items() if left[row.id]} == {
        "bob",
        "another tenant's ann",
        "nobody",
    }
    kept = await connection.execute(
        "SELECT count(*), count(DISTINCT text_digest) FROM exchanges WHERE erased_at IS NOT NULL"
        " AND decision = 'allow' AND salt = '00000000-0000-0000-0000-000000000000'"
    )
    assert await kept.fetchone() == (3, 3)
    await check_chain(connection)
    recorded = await connection.execute("SELECT e::text FROM erasures e")
    assert "ann," not in str(await recorded.fetchall())


async def test_an_erasure_goes_after_what_was_copied_and_quoted(
    connection, sealer, engine, postgres_url
) -> None:
    ann, bob = said(8, user="ann"), said(8, user="bob")
    held, old, late = copy_of(ann), copy_of(ann, source_id=None), copy_of(ann)
    copies = {"ann's": copy_of(ann), "ann's, held": held, "ann's, of before": old}
    copies["bob's"] = copy_of(bob)
    blocked = {
        user: make_blocked(
            started_at=NOW - timedelta(days=1),
            request={"model": "demo", "messages": [], "user": user},
        )
        for user in ("ann", "bob")
    }
    await write(postgres_url, ann, bob, *copies.values(), *blocked.values())
    await connection.execute(
        "WITH audit AS (INSERT INTO bias_audits (window_start, window_end, model, axis, pairs,"
        " failed, status, result) VALUES (now(), now(), 'demo', 'gender', 1, 0, 'OK', '{}')"
        " RETURNING id) INSERT INTO bias_audit_pairs SELECT id, 0, %s, 'he', 'she', %s, 'none',"
        " '{}' FROM audit",
        (ann.id, old.id),
    )
    for user, one in blocked.items():
        await lodge(postgres_url, one.id, "acme", reason=SAID, by="k1", now=NOW)
        (item,) = await reviews.of_exchange(engine, UUID(one.id))
        await reviews.label(engine, item.item.id, user, harmful=False, note=SAID, now=NOW)
    await sealer.seal(connection)
    [hold_id] = await hold(connection, exchange_id=held.id, reason="alert 7", by="monitor")
    target = Target("acme", names_of("ann", pseudonym(SECRET, "acme", "ann")))
    done = await erase(connection, sealer, target, now=NOW, by="dpo", reason="request 9")
    assert (done.erased, done.copies, done.words, done.held) == (2, 2, 2, 1)
    left = await texts(connection)
    kept = {name for name, one in copies.items() if left[one.id]}
    assert kept == {"ann's, held", "bob's"}
    for user, words in (("ann", None), ("bob", SAID)):
        (one,) = await reviews.of_exchange(engine, UUID(blocked[user].id))
        assert (one.item.evidence["lodged_by"], one.item.evidence.get("reason")) == ("k1", words)
        assert [(label.harmful, label.note) for label in one.labels] == [(False, words)]
    await write(postgres_url, late)
    await release(connection, hold_id, NOW)
    again = await retain(connection, sealer, (), None, now=NOW + timedelta(days=2))
    assert (again.erased, again.words) == (2, 0), "what was held, and what was on its way"
    await sealer.seal(connection)
    await check_chain(connection)
    await connection.execute("UPDATE exchanges SET source_id = NULL WHERE id = %s", (late.id,))
    days = [day async for day in verify(connection, SECRET)]
    assert [fault for day in days for fault in day.faults], "where it came from is proved, too"


async def test_what_was_copied_and_quoted_is_kept_no_longer_than_its_source(
    connection, sealer, engine, postgres_url
) -> None:
    gone, kept = said(52), said(20)
    short = make_blocked(started_at=NOW - timedelta(days=10), caller=Caller("k1", "clinic"))
    copies = [copy_of(one) for one in (gone, kept, short)]
    await write(postgres_url, gone, kept, short, *copies)
    await lodge(postgres_url, short.id, "clinic", reason=SAID, by="k1", now=NOW)
    rules = (RetentionSettings(tenants=("clinic",), days=7),)
    done = await retain(connection, sealer, rules, 30, now=NOW)
    assert (done.erased, done.words) == (3, 1)
    left = await texts(connection)
    assert [left[one.id] for one in copies] == [False, True, False]
    (one,) = await reviews.of_exchange(engine, UUID(short.id))
    assert one.item.evidence == {"lodged_by": "k1"}
    assert (await retain(connection, sealer, rules, 30, now=NOW)).erased == 0
    await sealer.seal(connection)
    await check_chain(connection)


async def test_a_tombstone_proves_nothing_else_away(connection, sealer, postgres_url) -> None:
    made = said(1, user="ann"), said(1)
    await write(postgres_url, *made)
    await sealer.seal(connection)
    await erase(connection, sealer, Target("acme"), now=NOW, by="dpo", reason="request")
    for tampering in (
        "UPDATE exchanges SET decision = 'block'",
        "UPDATE exchanges SET request = '{\"forged\": 1}'",
        "UPDATE exchanges SET text_digest = sha256('x')",
        "UPDATE exchange_seals SET rows = 0 WHERE kind = 'erasure'",
        "DELETE FROM exchange_seals WHERE kind = 'erasure'",
    ):
        await connection.execute("CREATE TABLE saved AS TABLE exchanges")
        await connection.execute("CREATE TABLE seals AS TABLE exchange_seals")
        await connection.execute(tampering)
        days = [day async for day in verify(connection, SECRET)]
        assert [fault for day in days for fault in day.faults], tampering
        for table, copy in (("exchanges", "saved"), ("exchange_seals", "seals")):
            await connection.execute(f"DELETE FROM {table}")
            await connection.execute(f"INSERT INTO {table} SELECT * FROM {copy}")
            await connection.execute(f"DROP TABLE {copy}")
    await check_chain(connection)


async def test_what_was_on_its_way_or_held_is_erased_later(
    connection, sealer, postgres_url
) -> None:
    held = said(1)
    await write(postgres_url, held)
    [hold_id] = await hold(connection, exchange_id=held.id, reason="case", by="ann")
    done = await erase(connection, sealer, Target("acme"), now=NOW, by="dpo", reason="request")
    assert (done.erased, done.held) == (0, 1)
    late, after = said(1), said(-1)
    await write(postgres_url, late, after)
    await release(connection, hold_id, NOW)
    again = await retain(connection, sealer, (), None, now=NOW + timedelta(days=2))
    assert again.erased == 2
    assert await texts(connection) == {held.id: False, late.id: False, after.id: True}
    await sealer.seal(connection)
    await check_chain(connection)


async def test_an_erasure_takes_refused_records_too(connection, sealer, postgres_url) -> None:
    records = {
        b"mine": b'{"caller": {"tenant": "acme"}, "request": {"user": "ann"}}',
        b"other tenant": b'{"caller": {"tenant": "globex"}, "request": {"user": "ann"}}',
        b"other user": b'{"caller": {"tenant": "acme"}, "request": {"user": "bob"}}',
        b"audit's": b'{"caller": {"tenant": "banister-audit"}, "request": {}}',
        b"unreadable": b"{",
    }
    for digest, record in records.items():
        await connection.execute(
            "INSERT INTO rejected_records VALUES (%s, '2026-11-01', 'x', %s)", (digest, record)
        )
    target = Target("acme", (end_user_key("ann"),))
    done = await erase(connection, sealer, target, now=NOW, by="dpo", reason="request")
    assert done.rejected == 3
    found = await connection.execute("SELECT sha256 FROM rejected_records ORDER BY 1")
    left = {bytes(digest) for (digest,) in await found.fetchall()}
    assert left == {b"other tenant", b"other user"}


async def test_an_erasure_must_name_a_tenant(connection, sealer) -> None:
    with pytest.raises(ValueError, match="name the tenant"):
        await erase(connection, sealer, Target(), now=NOW, by="dpo", reason="request")


async def test_a_day_in_use_is_left_for_the_next_run(connection, sealer, postgres_url) -> None:
    await make_partitions(connection, date(2026, 10, 2), 1)
    await write(postgres_url, said(52))
    async with await psycopg.AsyncConnection.connect(libpq_url(postgres_url)) as reader:
        await reader.execute("SELECT count(*) FROM exchanges")
        done = await retain(connection, sealer, **KEEP_30, now=NOW)
        assert date(2026, 10, 2) in done.busy
    done = await retain(connection, sealer, **KEEP_30, now=NOW)
    assert date(2026, 10, 2) in done.dropped
