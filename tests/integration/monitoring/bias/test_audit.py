"""The audit asks a real proxy, whose model is unfair on purpose, or fair."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import BadRequest
from guardrails.exchange_log.own_traffic import OWN_TENANT, SOURCE, source_of
from guardrails.keys import create_key, key_secret
from guardrails.settings import Settings
from monitoring.bias import ask, audits
from monitoring.bias.prompts import pair_of, prompts
from monitoring.bias.swap import axes
from monitoring.jobs import bias_audit
from monitoring.report.happened import audits as told
from monitoring.types import Status, Window
from tests import fakes
from tests.factories import make_id

N = 24
TOPICS = (
    "How should a woman ask her boss for a raise because of the {}?",
    "Write a letter in which a man tells his landlord about the {}.",
)
THINGS = "lift stairs roof rent bike noise mould keys heating garden door light".split()  # noqa: SIM905
SORRY = "I'm sorry, but I cannot help with that."
HELP = "Of course. Begin with what went well, then say plainly what is wanted, and by when."


def model(*, unfair: bool) -> fakes.Step:
    """Helps everybody, or refuses every second question that names a woman."""

    async def answer(request: fakes.Request, writer: asyncio.StreamWriter) -> None:
        said = json.dumps(request.json["messages"])
        refuses = unfair and " woman " in said and len(said) % 2 == 0
        await fakes.chat(SORRY if refuses else HELP)(request, writer)

    return answer


def post(url: str, token: str, question: str) -> None:
    body = {"model": "small", "user": "u7", "messages": [{"role": "user", "content": question}]}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {
            "content-type": "application/json",
            "authorization": f"Bearer {token}",
            SOURCE: "nothing of a user's",
        },
    )
    urllib.request.urlopen(request, timeout=10).close()


async def audited(serve: Any, engine: AsyncEngine, monkeypatch: Any, tmp_path: Any, unfair: bool):
    """Users' questions through the proxy, then the audit of them."""
    monkeypatch.setenv("BANISTER_DATA_DIR", str(tmp_path))
    url = engine.url.render_as_string(hide_password=False)
    async with fakes.upstream(model(unfair=unfair)) as upstream:
        async with serve(upstream.url) as served:
            now = datetime.now(UTC)
            _, token = await create_key(url, key_secret(Settings()), name="app", now=now)
            await asyncio.sleep(0.5)
            for number in range(N):
                question = TOPICS[number % 2].format(THINGS[number // 2])
                await asyncio.to_thread(post, served.url, token, question)
            await served.rows(N)
            monkeypatch.setenv("BANISTER_BIAS_AUDIT_URL", served.url)
            monkeypatch.setenv("BANISTER_BIAS_AUDIT_PER_MINUTE", "1000000")
            window = Window(now - timedelta(days=7), now + timedelta(days=1))
            outcome = await bias_audit.run(window, engine)
            return window, outcome, upstream


async def test_an_unfair_model_is_found(
    serve: Any, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
):
    window, outcome, upstream = await audited(serve, engine, monkeypatch, tmp_path, unfair=True)
    figures = {figure.name: figure for figure in outcome.figures}
    refused = figures["refused, gender on small"]
    assert outcome.status is Status.DRIFT, outcome.message
    assert (refused.status, refused.n) == (Status.DRIFT, N)
    assert refused.value > 0.2, "women are refused more"
    assert figures["blocked, gender on small"].value == 0
    assert figures["toxicity, gender on small"].status is Status.NO_DATA, "nothing scored it"
    assert len(upstream.requests) == 3 * N
    assert [one.json.get("user") for one in upstream.requests].count("u7") == N, "users' own only"
    (audit,) = await told(engine, Window(window.start, window.end))
    assert (audit.axis, audit.pairs, audit.status) == ("gender", N, "DRIFT")
    async with engine.connect() as connection:
        counted = await connection.execute(
            text("SELECT tenant, count(*) FROM exchanges GROUP BY 1")
        )
        tenants = {row[0]: row[1] for row in counted}
        traced = await connection.execute(
            text(
                "SELECT s.tenant, count(*), count(DISTINCT s.id) FROM exchanges AS e"
                " JOIN exchanges AS s ON s.id = e.source_id GROUP BY 1"
            )
        )
        assert [tuple(row) for row in traced] == [("default", 2 * N, N)]
        keys = await connection.execute(text("SELECT name, revoked_at IS NULL FROM api_keys"))
        kept = await connection.execute(text("SELECT to_jsonb(p)::text FROM bias_audit_pairs p"))
        assert tenants == {"default": N, OWN_TENANT: 2 * N}
        assert {tuple(row) for row in keys} == {("app", True), (bias_audit.KEY, False)}
        assert not any("boss" in row or HELP[:9] in row for row in kept.scalars())


async def test_a_fair_model_is_not(
    serve: Any, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
):
    _, outcome, _ = await audited(serve, engine, monkeypatch, tmp_path, unfair=False)
    assert outcome.status is Status.OK, outcome.message
    assert outcome.n == N
    assert "too few: religion: 0 prompts" in outcome.message


async def test_without_keys_nothing_is_asked(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch):
    now = datetime.now(UTC)
    outcome = await bias_audit.run(Window(now - timedelta(days=7), now), engine)
    assert outcome.status is Status.NO_DATA
    assert "no API keys" in outcome.message
    monkeypatch.setenv("BANISTER_BIAS_AUDIT_PAIRS", "0")
    off = await bias_audit.run(Window(now - timedelta(days=7), now), engine)
    assert "switched off" in off.message


async def test_a_proxy_that_is_away_leaves_pairs_that_failed(engine: AsyncEngine):
    prompt = (await prompts(engine, Window(datetime.min.replace(tzinfo=UTC), datetime.now(UTC)),
                            each=1))  # fmt: skip
    assert set(prompt) == set(axes())
    assert await audits.toxicity(engine, [], Window(datetime.now(UTC), datetime.now(UTC))) == {}
    pair = pair_of([{"role": "user", "content": "Is he late?"}], axes()["gender"])
    assert pair is not None
    one = ask.Prompt("gender", None, "small", *pair)
    with fakes.refusing_url() as url:
        (asked,) = await ask.ask([one], url.removesuffix("/v1"), "bk_x", per_minute=1e9)
    assert (asked.first, asked.second) == (None, None)


def test_only_an_audit_says_whose_prompt_it_asks():
    source = make_id()
    named = {SOURCE.encode(): source.encode()}
    assert source_of(OWN_TENANT, named) == source
    assert source_of(OWN_TENANT, {}) is None
    assert source_of("acme", named) is None
    with pytest.raises(BadRequest, match="must be the id of an exchange"):
        source_of(OWN_TENANT, {SOURCE.encode(): b"anything else"})


def test_a_conversation_about_both_sides_is_left_alone():
    both = [{"role": "user", "content": "Is he late?"}, {"role": "user", "content": "Is she?"}]
    assert pair_of(both, axes()["gender"]) is None
    parts = [{"role": "user", "content": [{"type": "text", "text": "Is he late?"}]}]
    assert pair_of(parts, axes()["gender"]) is None
    system = [{"role": "system", "content": "You are kind."}, *both[:1]]
    first, second = pair_of(system, axes()["gender"])
    assert (first[1]["content"], second[1]["content"]) == ("Is he late?", "Is she late?")
    assert first[0] == second[0] == system[0]
