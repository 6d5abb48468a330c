"""Models and rollouts in the dashboards: who serves, how a canary fares, and what people do."""

from __future__ import annotations

from datetime import timedelta

import httpx
import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.retraining import registry
from monitoring.rollout import records
from monitoring.rollout.evidence import Evidence
from tests.integration.dashboards.conftest import NOW
from tests.integration.dashboards.forms import post

BEGAN = NOW - timedelta(hours=3)


async def start(engine: AsyncEngine, candidate: str = "small@2") -> records.Rollout:
    return await records.start(
        engine, model="small", champion="small@1", candidate=candidate, who="ada",
        why="It answers better.", now=BEGAN,
    )  # fmt: skip


async def test_the_page_says_who_serves_now_and_at_another_time(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    assert "No rollout says so" in (await client.get("/models")).text
    await start(engine)
    version = registry.NewVersion(
        model="small", version="2", kind="language_model", weights_uri="file:///w",
        weights_sha256="0" * 64, evaluation={}, lineage={},
    )  # fmt: skip
    await registry.register(engine, version, now=BEGAN)
    page = (await client.get("/models")).text
    assert "but for 1.0\xa0% of the conversations: small@2" in page
    assert ">1 %</li>" in page
    before = (await client.get(f"/models?at={BEGAN - timedelta(days=1):%Y-%m-%dT%H:%M}")).text
    assert "No rollout says so" in before
    assert (await client.get("/models?at=yesterday")).status_code == 400


async def test_a_rollout_shows_its_test_and_is_rolled_back_by_hand(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    rollout = await start(engine)
    path = f"/models/rollouts/{rollout.id}"
    assert "No data yet" in (await client.get(path)).text
    seen = Evidence(totals={"block": (8, 40, 30, 1500)}, log_won={"block": [1.0] * 4}, seen=40)
    async with engine.begin() as connection:
        await records.keep_evidence(connection, rollout.id, msgspec.to_builtins(seen))
    page = (await client.get(path)).text
    assert "20.0\xa0%" in page
    assert "40 / 1,500" in page
    assert f"{seen.strength:.3g} of 100" in page
    assert (await post(client, path, f"{path}/rollback", why=" ")).status_code == 400
    assert (await post(client, path, f"{path}/sing", why="x")).status_code == 404
    assert (await post(client, path, f"{path}/pause", why="A look.")).status_code == 303
    assert (await post(client, path, f"{path}/pause", why="Again.")).status_code == 400
    assert (await post(client, path, f"{path}/rollback", why="It insults.")).status_code == 303
    page = (await client.get(path)).text
    assert "It insults." in page
    assert "Rolled back against small@1" in page
    found = await records.find(engine, rollout.id)
    assert found is not None
    assert (found.state, found.share) == ("rolled_back", 0.0)
