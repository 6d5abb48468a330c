"""Policies in the dashboards: drafted, replayed, put in shadow and in force."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit
from guardrails.policy.model import parse_policy
from guardrails.types import Stage
from monitoring import policies
from tests.browser.traffic import write
from tests.factories import make_blocked, make_check, make_exchange
from tests.integration.dashboards.conftest import NOW
from tests.integration.dashboards.forms import post

POLICY = """name: house
rules:
  - id: no-insults
    detector: toxicity
    label: insult
    stage: [input]
    threshold: 0.8
    action: block
    on_error: block
"""


@pytest.fixture
async def version(engine: AsyncEngine) -> str:
    """A policy that was once in force, under its hash."""
    policy = parse_policy(POLICY, None)
    async with engine.begin() as connection:
        await policies.release(connection, "enforce", policy, who="ada", why="The first one.")
    return policy.version


@pytest.fixture(autouse=True)
async def traffic(postgres_url: str, version: str) -> None:
    """Twenty exchanges: four a little insulting, two blocked."""
    at = NOW - timedelta(hours=2)
    checks = (make_check(score=0.6), make_check(side=Stage.OUTPUT))
    label = f"house@{version}"
    exchanges = [
        *(make_exchange(started_at=at, policy_version=label, checks=checks) for _ in range(4)),
        *(make_exchange(started_at=at, policy_version=label) for _ in range(14)),
        *(make_blocked(started_at=at, policy_version=label) for _ in range(2)),
    ]
    await write(postgres_url, exchanges)


async def draft_of(client: httpx.AsyncClient, version: str) -> str:
    begun = await post(client, f"/policies/{version}", f"/policies/{version}/draft")
    assert begun.status_code == 303
    return begun.headers["location"]


async def test_the_page_says_what_holds_and_since_when(client: httpx.AsyncClient, version: str):
    page = (await client.get("/policies")).text
    assert f"house@{version}" in page
    assert "The first one." in page
    assert "the latest 20 exchanges" in page
    one = (await client.get(f"/policies/{version}")).text
    assert "no-insults" in one
    assert "is in force" in one
    assert (await client.get("/policies/nowhere")).status_code == 404


async def test_a_draft_is_held_to_its_form_replayed_and_released(
    client: httpx.AsyncClient, engine: AsyncEngine, version: str
):
    draft = await draft_of(client, version)
    broken = await post(
        client, draft, draft, source=POLICY.replace("threshold: 0.8", "threshold: 8")
    )
    assert broken.status_code == 303
    page = (await client.get(draft)).text
    assert "Not valid yet" in page
    assert "Release it" not in page
    refused = await client.get(f"{draft}/replay")
    assert refused.status_code == 400
    stricter = POLICY.replace("threshold: 0.8", "threshold: 0.5")
    assert (await post(client, draft, draft, source=stricter)).status_code == 303
    replayed = (await client.get(f"{draft}/replay?sweep=no-insults")).text
    row = re.search(
        r"Newly blocked</th>.*?number\">4</td><td class=\"number\">20.0", replayed, re.S
    )
    assert row is not None
    assert "20 measured, 0 not" in replayed
    assert replayed.count("/exchanges/") == 4
    silent = await post(client, draft, f"{draft}/release", part="enforce", why=" ")
    assert silent.status_code == 400
    done = await post(client, draft, f"{draft}/release", part="enforce", why="Insults rose.")
    assert done.status_code == 303
    async with engine.connect() as connection:
        newest = (await policies.releases(connection, part="enforce"))[0]
        assert (newest.reason, newest.hash) == (
            "Insults rose.",
            parse_policy(stricter, None).version,
        )
        acts = [entry.action for entry in await audit.latest(connection, 20)]
    assert {"policy.draft", "policy.draft.change", "policy.replay", "policy.release"} <= set(acts)
    beside = (await client.get(f"/policies/{version}")).text
    assert "threshold: 0.5" in beside
    assert "does not hold now" in beside
    back = await post(client, "/policies", "/policies/give-back", part="enforce", why="Too strict.")
    assert back.status_code == 303
    assert "as the proxies’ files have it" in (await client.get("/policies")).text


async def test_two_who_write_at_once_do_not_write_over_each_other(
    client: httpx.AsyncClient, version: str
):
    draft = await draft_of(client, version)
    seen = re.search(r'name="seen" value="([^"]+)"', (await client.get(draft)).text)
    assert seen is not None
    assert (await post(client, draft, draft, source=POLICY + "# mine\n")).status_code == 303
    late = await post(client, draft, draft, source=POLICY + "# theirs\n", seen=seen[1])
    assert late.status_code == 409
    assert "changed this draft while you wrote" in late.text
    assert "# theirs" in late.text
    assert (await post(client, draft, f"{draft}/drop")).status_code == 303
    assert (await client.get(draft)).status_code == 404


async def test_a_replay_without_traffic_is_no_data(client: httpx.AsyncClient, version: str):
    page = (await client.get(f"/policies/{version}/replay?span=1h")).text
    assert "No data" in page
    assert (await client.get(f"/policies/{version}/replay?sweep=typo")).status_code == 400


async def test_what_is_sent_without_a_token_changes_nothing(
    client: httpx.AsyncClient, version: str
):
    answer = await client.post(f"/policies/{version}/release", data={"part": "enforce", "why": "x"})
    assert answer.status_code == 403
