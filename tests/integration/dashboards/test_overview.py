"""The overview over a real log: what is open, what moved, what happened meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.chain import Sealer
from guardrails.exchange_log.retention import retain
from guardrails.exchange_log.rollups import catch_up
from guardrails.keys import create_key
from guardrails.policy.model import parse_policy
from guardrails.types import Caller
from monitoring import policies
from monitoring.alerts.types import Severity
from monitoring.connected import connected
from monitoring.rollout import records
from tests.browser.traffic import POLICY, write
from tests.factories import make_blocked, make_exchange
from tests.integration.monitoring.alerts.test_records import add

# A release takes the database's own time.
NOW = datetime.now(UTC)
AT = NOW - timedelta(hours=5)
SINCE, UNTIL = NOW - timedelta(hours=10), NOW + timedelta(hours=2)
SPAN = f"since={SINCE:%Y-%m-%dT%H}:00&until={UNTIL:%Y-%m-%dT%H}:00"
PATHS = (f"/?{SPAN}", f"/safety?{SPAN}")


@pytest.fixture
async def traffic(postgres_url: str) -> None:
    caller = Caller("k", "acme")
    await write(
        postgres_url,
        [
            *(make_blocked(started_at=AT, caller=caller) for _ in range(3)),
            *(make_exchange(started_at=AT, caller=caller) for _ in range(17)),
        ],
    )


@pytest.fixture
async def happened(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        policy = parse_policy(POLICY, None)
        await policies.release(connection, "enforce", policy, who="ada", why="A test of ours.")
    await records.start(
        engine, model="small", champion="small@1", candidate="small@2", who="ada", why="Better.",
        now=AT,
    )  # fmt: skip
    await add(engine, "a", severity=Severity.CRITICAL, started_at=AT)


async def texts(client: httpx.AsyncClient, paths: Sequence[str], **options: object) -> list[str]:
    answers = [await client.get(path, **options) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return [unescape(answer.text) for answer in answers]


async def test_charts_tell_what_moved_and_what_happened(
    client: httpx.AsyncClient, traffic: None, happened: None
):
    for page in await texts(client, PATHS):
        assert 'class="drawn"' in page
        for said in ("policy: default@", "small@2 at 1 %", "alert: the block rate rose"):
            assert said in page
    overview = (await texts(client, PATHS[:1]))[0]
    for title in ("Blocked</p>", "Failed</p>", "Duration, p95</p>"):
        assert title in overview
    assert overview.count('<g class="marker">') == 3
    assert "15.0 %" in overview.replace("\xa0", " ")


async def test_each_step_leads_to_its_exchanges(client: httpx.AsyncClient, traffic: None):
    page = (await texts(client, PATHS[:1]))[0]
    address = f"/exchanges?since={AT:%Y-%m-%dT%H}"
    assert address in page
    path = page[page.index(address) :].split('"')[0]
    found = (await texts(client, [path]))[0]
    assert found.count("<tr data-id") == 20


@pytest.mark.parametrize("minute", ["00", "30"])
async def test_an_old_span_is_counted_though_its_minutes_are_gone(
    client: httpx.AsyncClient, engine: AsyncEngine, postgres_url: str, minute: str
):
    at = NOW - timedelta(days=20)
    await write(postgres_url, [make_exchange(started_at=at), make_blocked(started_at=at)])
    async with connected(engine) as connection:
        await catch_up(connection)
        await retain(connection, Sealer(b"s", lambda: NOW), (), None, now=NOW)
    since, until = (f"{at + n * timedelta(hours=2):%Y-%m-%dT%H}:{minute}" for n in (-1, 1))
    for page in await texts(
        client, [f"{path}?since={since}&until={until}" for path in ("/", "/safety")]
    ):
        assert "50.0 %" in page.replace("\xa0", " ")


async def test_a_visitor_of_one_tenant_sees_changes_of_policy_and_model_but_no_alert(
    client: httpx.AsyncClient, postgres_url: str, traffic: None, happened: None
):
    _, token = await create_key(
        postgres_url, b"s" * 40, name="wall", scopes=("dashboard",), tenant="acme", now=AT
    )
    async with asyncio.timeout(10):
        # The ring of keys is told of a new one within milliseconds.
        while (await client.get("/account", auth=("wall", token))).status_code == 401:
            await asyncio.sleep(0.02)
    for page in await texts(client, PATHS, auth=("wall", token)):
        assert "small@2 at 1 %" in page
        assert "policy: default@" in page
        assert "alert: the block" not in page
        assert 'class="open-now"' not in page
