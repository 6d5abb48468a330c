"""`banister users`, as an operator types it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit, users
from dashboards.passwords import fits
from dashboards.users_command import command
from guardrails.errors import ConfigError

PASSWORD = "correct horse battery\n"


async def test_users_are_made_changed_and_listed(
    postgres_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.chdir(tmp_path)

    def banister_users(*arguments: str, said: str | None = None):
        return CliRunner().invoke(command, arguments, input=said)

    async def run(*arguments: str, said: str | None = None):

        return await asyncio.to_thread(banister_users, *arguments, said=said)

    assert "There are no users" in (await run("list")).output
    made = await run("create", "ada", "--role", "admin", "--password-stdin", said=PASSWORD)
    assert (made.exit_code, made.output) == (0, "ada may log in as admin.\n")
    again = await run("create", "ada", "--password-stdin", said=PASSWORD)
    assert isinstance(again.exception, ConfigError)
    asked = await run("create", "bob", "--tenant", "acme", said=PASSWORD * 2)
    assert asked.exit_code == 0
    assert (await run("rights", "bob", "--role", "reviewer", "--tenant", "other")).exit_code == 0
    assert (await run("disable", "ada")).exit_code == 0
    assert isinstance((await run("disable", "ada")).exception, ConfigError)
    assert (
        await run("password", "bob", "--password-stdin", said="another " + PASSWORD)
    ).exit_code == 0
    listed = (await run("list")).output
    for said in ("ada", "disabled", "bob", "reviewer", "other", "password"):
        assert said in listed
    assert (await run("enable", "ada")).exit_code == 0
    async with engine.connect() as connection:
        found = await users.by_name(connection, "bob")
        acts = [entry.action for entry in await audit.latest(connection, 20)]
    assert found is not None
    assert await fits(found[1], "another correct horse battery")
    assert acts == [
        "user.enable",
        "user.password",
        "user.disable",
        "user.rights",
        "user.create",
        "user.create",
    ]
