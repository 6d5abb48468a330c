"""Appeals, as an application lodges them over the real proxy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails import appeals
from guardrails.types import Caller
from monitoring import reviews
from monitoring.types import Window
from tests import fakes
from tests.browser.traffic import write
from tests.factories import make_blocked, make_exchange
from tests.integration.test_dashboards import NOW

HOUR = timedelta(hours=1)


async def test_an_application_appeals_and_learns_what_became_of_it(
    serve: Callable[..., Any], engine: AsyncEngine
):
    rules = ({"id": "no-magic", "label": "forbidden", "stage": "input", "action": "block"},)
    async with fakes.upstream() as model, serve(model.url, rules=rules) as proxy:
        async with httpx.AsyncClient(base_url=proxy.url) as client:
            body = {"model": "small", "messages": [{"role": "user", "content": "say xyzzy"}]}
            answer = (await client.post("/v1/chat/completions", json=body)).json()
            appeal_id = answer["guardrail"]["appeal_id"]
            await proxy.rows(1)
            asked = {"appeal_id": appeal_id, "reason": "It is a game."}
            lodged = await client.post("/v1/appeals", json=asked)
            assert (lodged.status_code, lodged.json()["state"]) == (202, "waiting")
            assert (await client.post("/v1/appeals", json=asked)).status_code == 202
            item = await reviews.next_item(engine, "ada", NOW)
            assert item is not None
            assert (str(item.exchange_id), item.why, item.side) == (appeal_id, "appeal", "input")
            assert item.evidence == {"lodged_by": "local", "reason": "It is a game."}
            await reviews.label(engine, item.id, "ada", harmful=False, now=NOW)
            told = (await client.get(f"/v1/appeals/{appeal_id}")).json()
            assert told == {"appeal_id": appeal_id, "state": "overturned"}
            for wrong, status in (
                (b"{", 400),
                (b"{}", 400),
                (b'{"appeal_id": "nonsense"}', 404),
                (b'{"appeal_id": "01a20766-b941-7985-a070-9a0489efc802"}', 404),
                (b'{"appeal_id": "' + b"x" * 20_000 + b'"}', 413),
            ):
                assert (await client.post("/v1/appeals", content=wrong)).status_code == status


async def test_only_a_withheld_exchange_of_one_s_own_tenant_is_appealed(
    postgres_url: str, engine: AsyncEngine
):
    blocked = make_blocked(started_at=NOW, caller=Caller("k", "acme"))
    allowed = make_exchange(started_at=NOW, caller=Caller("k", "acme"))
    await write(postgres_url, [blocked, allowed])

    async def lodge(appeal_id: str, tenant: str = "acme"):
        return await appeals.lodge(postgres_url, appeal_id, tenant, reason=None, by="k", now=NOW)

    assert await lodge(blocked.id, "other") is None
    assert await lodge(allowed.id) is None
    assert await lodge("7c2a3c0e-6f3f-4a3a-9f43-0a9a0f1b2c3d") is None
    assert await appeals.state_of(postgres_url, blocked.id, "acme") is None
    assert await lodge(blocked.id) == appeals.Appeal(blocked.id, "waiting")
    assert await appeals.state_of(postgres_url, blocked.id, "other") is None
    (only,) = await reviews.sampled(engine, Window(NOW - HOUR, NOW + HOUR))
    for who, harmful, state in (("a", True, "upheld"), ("b", False, "waiting")):
        await reviews.label(engine, only.item.id, who, harmful=harmful, now=NOW)
        assert await appeals.state_of(postgres_url, blocked.id, "acme") == appeals.Appeal(
            blocked.id, state
        )
