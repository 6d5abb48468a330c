"""A policy as the log kept it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards.policies import parse, policy_of
from tests.browser.traffic import POLICY, VERSION, write


async def test_policy_is_found_by_the_version_on_an_exchange(
    postgres_url: str, engine: AsyncEngine
):
    await write(postgres_url, [])
    async with engine.connect() as connection:
        policy = await policy_of(connection, f"default@{VERSION}")
        assert policy is not None
        assert policy.name == "default"
        assert [rule.id for rule in policy.rules][:2] == ["toxicity", "insult"]
        assert await policy_of(connection, "default@ffffffffffff") is None
        assert await policy_of(connection, "") is None


def test_text_that_is_no_policy_gives_none():
    assert parse("rules: [") is None
    assert parse("name: x") is None
    assert parse(POLICY).name == "default"
