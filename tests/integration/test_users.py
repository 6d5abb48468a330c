"""People, their passwords and their sessions, on a real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import passwords, sessions, users
from guardrails.errors import ConfigError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
PASSWORD = "correct horse battery"


async def make(engine: AsyncEngine, name: str = "ada", **changes):
    async with engine.begin() as connection:
        return await users.create(
            connection, name=name, role=changes.pop("role", "reviewer"), now=NOW, **changes
        )


async def test_only_the_password_fits_and_nobody_takes_as_long():
    stored = passwords.hash_password(PASSWORD)
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored
    assert await passwords.fits(stored, PASSWORD)
    for hashed, tried in ((stored, PASSWORD + "x"), (None, PASSWORD), ("broken", PASSWORD)):
        assert not await passwords.fits(hashed, tried)


@pytest.mark.parametrize("password", ["", "short", "x" * 201])
def test_a_password_has_a_length(password: str):
    with pytest.raises(ConfigError, match="12 to 200"):
        passwords.hash_password(password)


async def test_users_are_made_listed_and_disabled(engine: AsyncEngine):
    assert not await users.any_user(engine)
    ada = await make(engine, tenants=["b", "a", "a"], password_hash="h")
    await make(engine, "bob", role="admin", email="bob@example.org")
    async with engine.begin() as connection:
        listed = await users.every_user(connection)
        assert [(u.name, u.role, u.tenants, u.has_password) for u in listed] == [
            ("ada", "reviewer", ["a", "b"], True),
            ("bob", "admin", None, False),
        ]
        assert await users.by_name(connection, "ada") == (ada, "h")
        assert await users.disable(connection, "ada", NOW)
        assert not await users.disable(connection, "ada", NOW)
        assert await users.by_name(connection, "ada") is None
        assert await users.enable(connection, "ada")
        assert await users.set_rights(connection, "ada", "viewer", ["c"])
        changed = await users.by_name(connection, "ada")
    assert changed is not None
    assert (changed[0].role, changed[0].tenants) == ("viewer", ["c"])
    async with engine.begin() as connection:
        for name in ("ada", "bob"):
            await users.disable(connection, name, NOW)
    assert await users.any_user(engine)


@pytest.mark.parametrize("name", ["", " ada", "x" * 81])
async def test_a_name_must_be_one(engine: AsyncEngine, name: str):
    with pytest.raises(ConfigError):
        await make(engine, name)


async def test_a_name_is_given_once(engine: AsyncEngine):
    await make(engine)
    with pytest.raises(ConfigError, match="already"):
        await make(engine)


async def test_a_session_is_known_by_its_token_until_it_ends(engine: AsyncEngine):
    ada = await make(engine, tenants=["acme"])
    async with engine.begin() as connection:
        token = await sessions.begin(connection, ada.id, NOW, "203.0.113.9")
        stored = (await connection.execute(text("SELECT digest FROM sessions"))).scalar_one()
        assert token.encode() not in stored
        assert await sessions.count_of(connection, NOW) == {ada.id: 1}
    visitor = await sessions.visitor_of(engine, token, LATER)
    assert visitor is not None
    assert (visitor.name, visitor.role, visitor.tenants) == ("ada", "reviewer", ("acme",))
    assert await sessions.visitor_of(engine, token + "x", LATER) is None
    async with engine.begin() as connection:
        await sessions.end(connection, token)
    assert await sessions.visitor_of(engine, token, LATER) is None


async def test_a_session_ends_after_silence_and_in_any_case_after_a_week(engine: AsyncEngine):
    ada = await make(engine)
    async with engine.begin() as connection:
        token = await sessions.begin(connection, ada.id, NOW, None)
    assert await sessions.visitor_of(engine, token, NOW + sessions.SILENCE) is None
    at = NOW
    while at < NOW + sessions.LONGEST:
        assert await sessions.visitor_of(engine, token, at) is not None
        at += timedelta(hours=11)
    assert await sessions.visitor_of(engine, token, at) is None


@pytest.mark.parametrize("change", ["password", "disable"])
async def test_another_password_and_a_disabled_user_end_every_session(
    engine: AsyncEngine, change: str
):
    ada, bob = await make(engine), await make(engine, "bob")
    async with engine.begin() as connection:
        tokens = [await sessions.begin(connection, ada.id, NOW, None) for _ in range(2)]
        other = await sessions.begin(connection, bob.id, NOW, None)
        if change == "password":
            assert await users.set_password(connection, "ada", "new")
            assert not await users.set_password(connection, "eve", "new")
        else:
            assert await users.disable(connection, "ada", NOW)
    assert [await sessions.visitor_of(engine, token, LATER) for token in tokens] == [None, None]
    assert await sessions.visitor_of(engine, other, LATER) is not None


async def test_a_provider_s_user_is_made_once_and_follows_the_provider(engine: AsyncEngine):
    async def login(**changes):
        told = {"subject": "https://id.example|1234567", "name": "ada", "email": None,
                "role": "viewer", "tenants": None, "now": NOW, **changes}  # fmt: skip
        async with engine.begin() as connection:
            return await users.from_provider(connection, **told)

    local = await make(engine)
    first = await login()
    assert first is not None
    assert (first.name, first.has_subject) == ("ada 234567", True)
    again = await login(name="other", role="admin", tenants=["acme"])
    assert again is not None
    assert (again.id, again.name, again.role, again.tenants) == (
        first.id,
        "ada 234567",
        "admin",
        ["acme"],
    )
    async with engine.begin() as connection:
        assert [u.id for u in await users.every_user(connection)] == [local.id, first.id]
        await users.disable(connection, first.name, NOW)
    assert await login() is None
