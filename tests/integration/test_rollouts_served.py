"""A rollout as callers meet it: the real proxy, real upstreams, a real Postgres."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from guardrails.prompt.render import load_templates
from guardrails.settings import RouteSettings, UpstreamSettings
from monitoring.retraining import registry
from monitoring.rollout import records
from monitoring.rollout.plan import Plan, Step
from tests import fakes

MINE = {"who": "ada", "why": "w", "now": datetime(2026, 11, 26, tzinfo=UTC)}


def plan(share: float) -> Plan:
    return Plan(steps=(Step(share, 3_600, 1_000),))


def upstreams(champion: str, candidate: str, **changes: Any) -> tuple[UpstreamSettings, ...]:
    return tuple(
        UpstreamSettings(name=f"u{v}", url=url, model="small", version=v, weight=weight, **changes)
        for v, url, weight in (("1", champion, 1), ("2", candidate, 0))
    )


async def start(engine, share: float = 0.5) -> records.Rollout:
    return await records.start(
        engine, model="small", champion="small@1", candidate="small@2", plan=plan(share), **MINE
    )


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": text}], **more}


async def ask(client, proxy, body: dict[str, Any], name: str | None = None) -> httpx.Response:
    headers = {} if name is None else {"x-conversation-id": name}
    return await client.post(f"{proxy.url}/v1/chat/completions", json=body, headers=headers)


def content(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


async def share_is(client, proxy, share: float) -> None:
    async with asyncio.timeout(5):
        while True:
            told = (await client.get(f"{proxy.url}/readyz")).json()["rollouts"]["models"]
            if told["small"]["share"] == share:
                return
            await asyncio.sleep(0.01)


async def test_a_conversation_stays_with_its_version_and_all_go_back_at_once(serve, engine, client):
    async with fakes.upstream(fakes.chat("one")) as one, fakes.upstream(fakes.chat("two")) as two:
        rollout = await start(engine)
        async with serve(upstreams=upstreams(one.url, two.url)) as proxy:
            names = [f"c{number}" for number in range(40)]
            first = {n: content(await ask(client, proxy, chat("Hi"), n)) for n in names}
            assert set(Counter(first.values())) == {"one", "two"}
            later = {n: content(await ask(client, proxy, chat("And?"), n)) for n in names}
            assert later == first
            # Its turns belong together without a name too, also where they stream.
            opening = {"role": "user", "content": "Where is it?"}
            begun = content(await ask(client, proxy, {"model": "small", "messages": [opening]}))
            turns = [opening, {"role": "assistant", "content": begun}, opening]
            streamed = await ask(
                client, proxy, {"model": "small", "messages": turns, "stream": True}
            )
            assert begun in "".join(streamed.text.split('"content":"')[1:])[: len(begun) + 200]
            by_name = await ask(client, proxy, {**chat("Hi"), "model": "small@2"}, "c0")
            assert content(by_name) == "two"
            await records.roll_back(engine, rollout.id, **MINE)
            await share_is(client, proxy, 0.0)
            back = {content(await ask(client, proxy, chat("Hi"), n)) for n in names}
            assert back == {"one"}
            rows = await proxy.rows(40 + 40 + 2 + 1 + 40)
    assert all(r["assigned_model"] == r["upstream_model"] for r in rows[:82])
    assert len({r["conversation"] for r in rows[:80]}) == 40
    assert [(r["assigned_model"], r["conversation"]) for r in rows[82:]] == [(None, None)] * 41


async def test_the_champion_steps_in_for_the_candidate_and_the_record_says_so(
    serve, engine, client
):
    gone = fakes.status(404, {"error": {"message": "no such model", "code": None}})
    async with fakes.upstream(fakes.chat("one")) as one, fakes.upstream(gone) as two:
        await start(engine)
        async with serve(upstreams=upstreams(one.url, two.url)) as proxy:
            for number in range(20):
                assert content(await ask(client, proxy, chat(f"Hi {number}"))) == "one"
            rows = await proxy.rows(20)
    drawn = Counter((r["assigned_model"], r["upstream_model"], r["attempts"]) for r in rows)
    assert set(drawn) == {("small@1", "small@1", 1), ("small@2", "small@1", 2)}


async def test_the_candidate_never_steps_in_for_the_champion(serve, engine, client):
    with fakes.refusing_url() as nowhere:
        async with fakes.upstream(fakes.chat("two")) as two:
            # So few that none of the five conversations is the candidate's by lot.
            await start(engine, 1e-6)
            async with serve(upstreams=upstreams(nowhere, two.url), retries=0) as proxy:
                answers = [await ask(client, proxy, chat("Hi"), f"c{n}") for n in range(5)]
                assert {answer.status_code for answer in answers} <= {502, 503}
                assert two.requests == []


@pytest.mark.parametrize("path", ["chat/completions", "messages"])
async def test_a_template_that_the_model_was_not_trained_with_is_refused(
    serve, engine, client, path
):
    new = registry.NewVersion(
        model="small", version="1", kind="language_model", weights_uri="file:///w",
        weights_sha256="0" * 64, evaluation={}, lineage={}, template_hash="another",
    )  # fmt: skip
    await registry.register(engine, new, now=MINE["now"])
    async with fakes.upstream(fakes.chat("one")) as one:
        routes = {"default": RouteSettings(template="grounded@1")}
        async with serve(upstreams=upstreams(one.url, one.url)[:1], routes=routes) as proxy:
            body = {**chat("Hi"), "max_tokens": 5}
            answer = await client.post(f"{proxy.url}/v1/{path}", json=body)
            (row,) = await proxy.rows(1)
        assert one.requests == []
    assert answer.status_code == 503
    assert "template" in answer.json()["error"]["message"]
    assert (row["failure_code"], row["failure_status"]) == ("template_mismatch", 503)


async def test_a_route_without_a_template_is_served_as_with_the_plain_one(
    serve, engine, client, tmp_path
):
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "plain@1.jinja").write_text("{% block user %}{{ question }}{% endblock %}")
    plain = load_templates(templates)["plain@1"].hash
    new = registry.NewVersion(
        model="small", version="2", kind="language_model", weights_uri="file:///w",
        weights_sha256="0" * 64, evaluation={}, lineage={}, template_hash=plain,
    )  # fmt: skip
    await registry.register(engine, new, now=MINE["now"])
    await start(engine)
    async with fakes.upstream(fakes.chat("one")) as one, fakes.upstream(fakes.chat("two")) as two:
        rows = upstreams(one.url, two.url)
        async with serve(upstreams=rows, templates=templates) as proxy:
            answers = [content(await ask(client, proxy, chat("Hi"), f"c{n}")) for n in range(20)]
    assert set(answers) == {"one", "two"}


async def test_readiness_tells_what_serves_and_what_is_missing(serve, engine, client):
    async with fakes.upstream() as one:
        await start(engine)
        async with serve(upstreams=upstreams(one.url, one.url)[:1]) as proxy:
            told = (await client.get(f"{proxy.url}/readyz")).json()["rollouts"]
    assert told == {
        "stale": False,
        "models": {"small": {"champion": "small@1", "candidate": "small@2", "share": 0.5}},
        "unserved": ["small@2"],
    }


async def test_a_version_joins_by_its_name_at_its_models_address(serve, engine, client):
    async with fakes.upstream(fakes.chat()) as one:
        await start(engine)
        rows = upstreams(one.url, one.url, versions_served_as="{model}-{version}")[:1]
        async with serve(upstreams=rows) as proxy:
            for number in range(20):
                content(await ask(client, proxy, chat("Hi"), f"c{number}"))
        assert {request.json["model"] for request in one.requests} == {"small", "small-2"}
