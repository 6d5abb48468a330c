"""What a proxy serves follows the rollouts in a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database.url import libpq_url
from guardrails.errors import UpstreamError
from guardrails.settings import UpstreamSettings
from guardrails.upstream.pool import Pool
from guardrails.upstream.rollouts import Rollouts
from guardrails.upstream.split import Split
from monitoring.retraining import registry
from monitoring.rollout import records

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def pool() -> Pool:
    rows = [
        UpstreamSettings(name=f"u{v}", url="http://127.0.0.1:1/v1", model="small", version=v)
        for v in "12"
    ]
    return Pool(rows, rollouts_known=False)


async def start(engine: AsyncEngine, **changes: object) -> records.Rollout:
    values = {"champion": "small@1", "candidate": "small@2", "who": "ada", "why": "w", "now": NOW}
    return await records.start(engine, model="small", **{**values, **changes})


async def until(what: Callable[[], bool], seconds: float) -> float:
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.005)
    return asyncio.get_running_loop().time() - began


@pytest.fixture
async def following(postgres_url: str) -> AsyncIterator[tuple[Pool, Rollouts]]:
    served = pool()
    rollouts = Rollouts(postgres_url, served)
    await rollouts.start()
    yield served, rollouts
    await rollouts.stop()
    await served.aclose()


async def test_the_rollouts_of_before_are_known_when_the_proxy_starts(engine, postgres_url):
    rollout = await start(engine)
    served = pool()
    rollouts = Rollouts(postgres_url, served)
    await rollouts.start()
    split = Split(str(rollout.id), "small", "small@1", "small@2", 0.01)
    assert served.split("small") == split
    shown = {"champion": "small@1", "candidate": "small@2", "share": 0.01}
    assert rollouts.status() == {"stale": False, "models": {"small": shown}, "unserved": []}
    await rollouts.stop()


async def test_every_change_reaches_the_pool_by_notice(engine, following):
    served, _ = following
    rollout = await start(engine)
    by = {"who": "ada", "why": "w", "now": NOW}
    await until(lambda: served.split("small") is not None, 1.5)
    await records.promote(engine, rollout.id, **by)
    await until(lambda: served.split("small").share == 1.0, 1.5)
    await records.roll_back(engine, rollout.id, **by)
    await until(lambda: served.split("small").share == 0.0, 1.5)


async def test_a_notice_that_is_lost_is_made_up_for_by_the_poll(engine, postgres_url, following):
    served, _ = following
    await start(engine)
    await until(lambda: served.split("small") is not None, 5)
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as connection:
        # As a change whose notice never came.
        await connection.execute("UPDATE rollouts SET share = 0.5")
    await until(lambda: served.split("small").share == 0.5, 5)


async def test_a_lost_connection_is_made_again(engine, postgres_url, following):
    served, _ = following
    rollout = await start(engine)
    await until(lambda: served.split("small") is not None, 5)
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'banister rollouts' AND datname = current_database()"
        )
    await records.roll_back(engine, rollout.id, who="ada", why="w", now=NOW)
    await until(lambda: served.split("small").share == 0.0, 5)


async def test_the_last_known_versions_serve_while_postgres_is_away(
    engine, postgres_url, postgres_server
):
    await start(engine)
    now = [0.0]
    served = pool()
    rollouts = Rollouts(postgres_url, served, clock=lambda: now[0])
    await rollouts.start()
    await engine.dispose()
    name = make_url(postgres_url).database
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_server), autocommit=True
    ) as connection:
        await connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
        )
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        now[0] = 11.0
        await until(lambda: rollouts.stale, 5)
        assert served.split("small").share == 0.01
        await connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name))
        )
        await until(lambda: not rollouts.stale, 5)
    await rollouts.stop()


async def test_nothing_is_served_before_the_rollouts_were_read_once(postgres_url, monkeypatch):
    monkeypatch.setattr("guardrails.upstream.rollouts.FIRST_LOAD_SECONDS", 0.05)
    served = pool()
    rollouts = Rollouts(postgres_url.replace("/test_", "/no_such_"), served)
    await rollouts.start()
    with pytest.raises(UpstreamError, match="which version"):
        await served.send("small", "/chat/completions", lambda upstream: b"{}")
    assert rollouts.stale
    await rollouts.stop()


async def test_the_templates_of_registered_versions_are_known(engine, following):
    served, _ = following
    new = registry.NewVersion(
        model="small", version="2", kind="language_model", weights_uri="file:///w",
        weights_sha256="0" * 64, evaluation={}, lineage={}, template_hash="abc",
    )  # fmt: skip
    await registry.register(engine, new, now=NOW)
    split = Split("r", "small", "small@1", "small@2", 0.5)
    await until(lambda: served.assign(split, 7, "other") is None, 5)
    assert served.assign(split, 7, "abc") in ("small@1", "small@2")
