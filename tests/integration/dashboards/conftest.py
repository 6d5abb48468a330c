"""The dashboards over a fresh database, as the person at this machine sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from dashboards.app import create
from guardrails.settings import Settings

NOW = datetime(2026, 11, 23, 7, 40, 12, tzinfo=UTC)


@pytest.fixture
async def client(postgres_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the local admin's; what it reads must be written by the test."""
    settings = Settings(
        database_url=postgres_url, data_dir=tmp_path, key_secret=SecretStr("s" * 40)
    )
    app = create(settings, now=lambda: NOW)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000), raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8081") as client,
    ):
        yield client
