from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from click.testing import CliRunner

from guardrails.commands.keys import keys
from guardrails.database.url import libpq_url
from guardrails.keys import KeyRing, create_key, list_keys, revoke_key

SECRET = b"a secret of the tests"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def ring(postgres_url: str) -> AsyncIterator[KeyRing]:
    ring = KeyRing(postgres_url, SECRET, now=lambda: NOW)
    await ring.start()
    yield ring
    await ring.stop()


async def soon(true: Callable[[], bool], seconds: float = 1.0) -> None:
    """Wait until something is true; fail when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


async def test_a_new_key_works_and_only_its_digest_is_stored(
    ring: KeyRing, postgres_url: str
) -> None:
    assert ring.empty
    key, token = await create_key(
        postgres_url, SECRET, name="app", scopes=("infer",), tenant="acme", now=NOW
    )
    await soon(lambda: ring.authenticate(token) == key)
    assert not ring.empty
    assert token.startswith(f"bk_{key.id}_")
    async with await psycopg.AsyncConnection.connect(libpq_url(postgres_url)) as connection:
        row = await (await connection.execute("SELECT api_keys::text FROM api_keys")).fetchone()
    assert token.split("_")[2] not in row[0]
    assert token.split("_")[2].encode().hex() not in row[0]


async def test_a_revoked_key_stops_within_a_second(ring: KeyRing, postgres_url: str) -> None:
    key, token = await create_key(postgres_url, SECRET, name="app", now=NOW)
    await soon(lambda: ring.authenticate(token) is not None)
    assert await revoke_key(postgres_url, key.id, now=NOW)
    await soon(lambda: ring.authenticate(token) is None, 1.0)
    assert not await revoke_key(postgres_url, key.id, now=NOW)
    assert not ring.empty, "revoking the last key must not open the door to keyless callers"


async def test_wrong_tokens_are_refused(ring: KeyRing, postgres_url: str) -> None:
    key, token = await create_key(postgres_url, SECRET, name="app", now=NOW)
    await soon(lambda: ring.authenticate(token) is not None)
    secret = token.split("_")[2]
    for wrong in (
        None,
        "",
        f"bk_{key.id}_",
        f"bk_{key.id}_{'0' * 64}",
        f"bk_000000000000_{secret}",
        f"sk_{key.id}_{secret}",
        token + "0",
        token[:-1],
        token.upper(),
        f" {token}",
        token + "\x00",
        token + "\ud800",
    ):
        assert ring.authenticate(wrong) is None, wrong


async def test_a_key_made_with_another_secret_is_refused(ring: KeyRing, postgres_url: str) -> None:
    _, mine = await create_key(postgres_url, SECRET, name="mine", now=NOW)
    _, other = await create_key(postgres_url, b"another secret", name="other", now=NOW)
    await soon(lambda: ring.authenticate(mine) is not None)
    await asyncio.sleep(0.1)
    assert ring.authenticate(other) is None


async def test_an_expired_key_is_refused(postgres_url: str) -> None:
    now = NOW
    ring = KeyRing(postgres_url, SECRET, now=lambda: now)
    _, token = await create_key(
        postgres_url, SECRET, name="app", expires_at=NOW + timedelta(hours=1), now=NOW
    )
    await ring.start()
    assert ring.authenticate(token) is not None
    now = NOW + timedelta(hours=1)
    assert ring.authenticate(token) is None
    await ring.stop()


async def test_the_ring_keeps_serving_while_postgres_is_away_and_catches_up_after(
    ring: KeyRing, postgres_url: str, postgres_server: str
) -> None:
    key, token = await create_key(postgres_url, SECRET, name="app", now=NOW)
    await soon(lambda: ring.authenticate(token) is not None)
    name = psycopg.conninfo.conninfo_to_dict(libpq_url(postgres_url))["dbname"]
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_server), autocommit=True
    ) as admin:
        identifier = psycopg.sql.Identifier(name)
        await admin.execute(
            psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(identifier)
        )
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        await asyncio.sleep(0.3)
        assert ring.authenticate(token) == key
        await admin.execute(
            psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(identifier)
        )
    await revoke_key(postgres_url, key.id, now=NOW)
    await soon(lambda: ring.authenticate(token) is None, 8.0)


async def test_a_start_without_postgres_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrails.keys.FIRST_LOAD_SECONDS", 0.2)
    ring = KeyRing("postgresql://postgres@127.0.0.1:1/none", SECRET)
    await ring.start()
    assert not ring.empty
    assert ring.authenticate("bk_a_b") is None
    await ring.stop()


def test_the_command_makes_lists_and_revokes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("BANISTER_KEY_SECRET", "of the tests")
    run = CliRunner().invoke
    assert "There are no keys" in run(keys, ["list"]).stdout
    made = run(keys, ["create", "the app", "--scope", "infer", "--scope", "dashboard"])
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    _, key_id, secret = token.split("_")
    listed = run(keys, ["list"]).stdout
    assert key_id in listed and "the app" in listed and "works" in listed
    assert secret not in listed
    assert run(keys, ["revoke", key_id]).exit_code == 0
    assert "revoked" in run(keys, ["list"]).stdout
    again = run(keys, ["revoke", key_id])
    assert again.exit_code == 1 and "no working key" in again.stderr


async def test_keys_are_listed_oldest_first(postgres_url: str) -> None:
    for days, name in ((2, "second"), (1, "first")):
        await create_key(postgres_url, SECRET, name=name, now=NOW + timedelta(days=days))
    assert [key.name for key in await list_keys(postgres_url)] == ["first", "second"]
