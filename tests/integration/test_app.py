"""The dashboards as an application: who gets in, and what happens without a database."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboards.app import create
from guardrails.errors import ConfigError
from guardrails.keys import create_key, key_secret, revoke_key
from guardrails.settings import Settings
from tests.integration.test_dashboards import NOW, Page, served, settings_for


async def test_key_with_the_right_scope_lets_in_from_elsewhere(postgres_url: str, tmp_path: Path):
    settings = settings_for(postgres_url, tmp_path, host="0.0.0.0")
    secret = key_secret(settings)
    key, token = await create_key(
        postgres_url, secret, name="ops", scopes=["dashboard"], now=datetime.now(UTC)
    )
    _, other = await create_key(postgres_url, secret, name="app", now=datetime.now(UTC))

    def basic(password: str) -> dict[str, str]:
        encoded = base64.b64encode(f"me:{password}".encode()).decode()
        return {"authorization": f"Basic {encoded}"}

    app = create(settings, now=lambda: NOW)
    async for client in served(app, peer="203.0.113.9"):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/")).status_code == 401
        assert (await client.get("/static/banister.css")).status_code == 200
        assert (await client.get("/", headers=basic(other))).status_code == 401
        assert (await client.get("/", headers=basic(token))).status_code == 200
    await revoke_key(postgres_url, key.id, now=datetime.now(UTC))
    async for client in served(create(settings, now=lambda: NOW), peer="203.0.113.9"):
        assert (await client.get("/", headers=basic(token))).status_code == 401


async def test_database_that_is_away_is_said_and_not_shown_as_an_empty_log(tmp_path: Path):
    settings = settings_for("postgresql://nobody@127.0.0.1:9/none", tmp_path)
    async for client in served(create(settings, now=lambda: NOW)):
        answer = await client.get("/")
        assert answer.status_code == 503
        assert "The exchange log cannot be read" in Page(answer.text).text
        assert (await client.get("/healthz")).status_code == 200
        break


def test_dashboards_without_a_database_do_not_start(tmp_path: Path):
    with pytest.raises(ConfigError, match="BANISTER_DATABASE_URL"):
        create(Settings(data_dir=tmp_path))
