"""A policy put in force from outside reaches the proxy, and no other does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import openai
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import GuardUnavailable
from guardrails.policy.model import parse_policy
from guardrails.policy.releases import Releases
from guardrails.policy.store import PolicyStore
from monitoring import policies
from tests import fakes
from tests.integration.conftest import BLOCK_INPUT, Serve, policy_text

STRICT = policy_text(BLOCK_INPUT).replace("name: test", "name: strict")


async def put(engine: AsyncEngine, part: policies.Part, text: str | None) -> None:
    policy = None if text is None else parse_policy(text, None)
    async with engine.begin() as connection:
        await policies.release(connection, part, policy, who="ada", why="a try")


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await what():
            await asyncio.sleep(0.02)


async def test_a_released_policy_is_in_force_until_it_is_taken_back(
    serve: Serve, engine: AsyncEngine
):
    async with (
        fakes.upstream() as model,
        serve(model.url) as served,
        httpx.AsyncClient() as http,
        openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client,
    ):

        async def finish() -> str:
            messages = [{"role": "user", "content": "say xyzzy"}]
            answer = await client.chat.completions.create(model="small", messages=messages)
            return answer.choices[0].finish_reason

        async def ready() -> dict[str, object]:
            return (await http.get(f"{served.url}/readyz")).json()

        async def blocks() -> bool:
            return await finish() == "content_filter"

        async def passes() -> bool:
            return await finish() == "stop"

        async def says_why() -> bool:
            return "no detector 'oracle'" in str((await ready())["policy_error"])

        assert await passes()
        await put(engine, "enforce", STRICT)
        await until(blocks)
        # One that this proxy cannot take leaves the last good one in force, and is said.
        await put(engine, "enforce", STRICT.replace("detector: patterns", "detector: oracle"))
        await until(says_why)
        assert await blocks()
        await put(engine, "enforce", None)
        await until(passes)
        assert (await ready())["policy_stale"] is False


async def test_nothing_begins_before_it_is_known_what_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("guardrails.policy.releases.FIRST_LOAD_SECONDS", 0.1)
    path = tmp_path / "policy.yaml"
    path.write_text(policy_text())
    releases = Releases("postgresql://postgres@127.0.0.1:1/none", PolicyStore(path, {}))
    await releases.start()
    with pytest.raises(GuardUnavailable, match="cannot be read yet"):
        releases.admit()
    assert releases.stale
    await releases.stop()


async def test_the_record_says_who_released_what_and_why(engine: AsyncEngine):
    await put(engine, "shadow", STRICT)
    await put(engine, "enforce", STRICT)
    await put(engine, "enforce", None)
    async with engine.connect() as connection:
        rows = await policies.releases(connection)
        versions = await policies.versions(connection)
        assert await policies.source_of(connection, versions[0].hash) == STRICT
        assert await policies.source_of(connection, "none") is None
    assert [(row.part, row.label is None) for row in rows] == [
        ("enforce", True), ("enforce", False), ("shadow", False),
    ]  # fmt: skip
    assert {row.released_by for row in rows} == {"ada"}
    assert [(one.name, one.decided) for one in versions] == [("strict", 0)]


async def test_a_draft_that_another_has_changed_is_not_written_over(engine: AsyncEngine):
    async with engine.begin() as connection:
        draft_id = await policies.begin_draft(connection, "name: a", who="ada")
    async with engine.begin() as connection:
        first = await policies.draft(connection, draft_id)
        assert first is not None
        seen = first.changed_at
        assert await policies.change_draft(connection, draft_id, "name: b", who="ben", seen=seen)
    async with engine.begin() as connection:
        assert not await policies.change_draft(connection, draft_id, "x", who="ada", seen=seen)
        found = await policies.draft(connection, draft_id)
        assert found is not None
        assert (found.source, found.made_by, found.changed_by) == ("name: b", "ada", "ben")
        assert found.changed_at <= datetime.now(UTC)
        await policies.drop_draft(connection, draft_id)
        assert await policies.drafts(connection) == []
        assert await policies.draft(connection, uuid4()) is None
