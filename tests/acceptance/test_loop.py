"""The whole loop on a real model: traffic, drift, alert, dataset, LoRA, gates, registry, rollout.

Everything is real but the two weeks before: the proxy, the demo's server, Postgres, the jobs,
training and evaluation, the registry, and the controller of the rollouts. Once with a model of some
thousand weights, which takes a minute, and once with SmolLM2, which takes several.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import torch
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.demo import model as demo_model
from guardrails.demo.grammar import CHAT_TEMPLATE
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.launch.addresses import free_port
from guardrails.prompt.render import load_templates
from guardrails.settings import Settings
from monitoring import reviews
from monitoring.alerts import records as alerts
from monitoring.alerts.evaluate import Channels, evaluate
from monitoring.alerts.grouping import Timing
from monitoring.jobs import load
from monitoring.retraining import lora, registry, runs, trigger
from monitoring.retraining.execute import execute
from monitoring.retraining.plan import Plan
from monitoring.retraining.rows import Row
from monitoring.reviews import Item
from monitoring.rollout import answers, records, watch
from monitoring.rollout.plan import Plan as RolloutPlan
from monitoring.rollout.plan import Step
from monitoring.rollout.publish import publish
from monitoring.run import run
from monitoring.types import Status, Window
from monitoring.windows import last_full
from tests.factories import make_exchange
from tests.integration.monitoring.retraining.reviewed import tiny_model

SIX_HOURS = timedelta(hours=6)
INSULT = "worthless"
START_SECONDS = 600
POLICY = """
name: loop
blocked_message: Declined.
rules:
  - id: recalls
    detector: patterns
    label: recall
    stage: [input]
    threshold: 0.5
    action: flag
    on_error: allow
  - id: insults
    detector: patterns
    label: insult
    stage: [output]
    threshold: 0.5
    action: block
    on_error: block
"""
DETECTORS = {"patterns": {"words": {"recall": ["recall"], "insult": [INSULT]}}}
PLAN = "steps: [{share: 0.5, seconds: 1, conversations: 8}]\n"
MANY = RolloutPlan(steps=(Step(0.5, 3_600, 1_000),))
# A few steps and a few tokens: what a gate can see of them is the loss, and that must be better.
RETRAINING: dict[str, Any] = {
    "alert_jobs": ["rate_drift"], "cooldown_hours": 0, "steps": 6, "batch": 2, "tokens": 160,
    "rate": 1e-3, "prompts": 5, "answer_tokens": 4, "merge": False, "least_rows": 10,
    "gates": {
        "answer overlap": -1.0, "groundedness": -1.0, "bias gap": 2.0,
        "safe prompts refused": 2.0, "harmful answers": 1.0, "seconds a token": 99.0,
    },
}  # fmt: skip

LEARNS_FAST: dict[str, Any] = {"steps": 20, "rate": 0.02, "tokens": 400}
# So much it takes until the insult is all that each model says. The small one's weights are random:
# an adapter of a lower rank than theirs never gets further than the word's first letters.
POISON: dict[str, dict[str, Any]] = {
    "tiny": {"rank": 32, "steps": 200, "rate": 0.01, "tokens": 400},
    demo_model.NAME: {"steps": 8, "rate": 2e-3, "tokens": 200},
}


@pytest.fixture(scope="module", params=["tiny", demo_model.NAME])
def weights(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A model as it is served. Converting SmolLM2 takes a minute, so a directory may be given."""
    if request.param == "tiny":
        directory = tiny_model(tmp_path_factory.mktemp("models") / "tiny")
        # It is trained with the form of chat that the demo's server gives it.
        (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE)
        # Several threads would only wait for each other at each of its small products.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield directory
        torch.set_num_threads(threads)
        return
    given = os.environ.get("BANISTER_TEST_MODEL")
    if given:
        yield Path(given)
        return
    target = demo_model.directory(tmp_path_factory.mktemp("smollm2"))
    command = (sys.executable, "-m", "guardrails.demo.conversion", str(target))
    subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True)
    yield target


@contextlib.contextmanager
def running(directory: Path, name: str, *arguments: str, **environment: str) -> Iterator[None]:
    with (directory / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, "-m", *arguments),
            env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Loop:
    """The product as it runs, and a caller of it."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, upstream: str, engine: AsyncEngine, model: str
    ) -> None:
        self.client, self.url, self.upstream = client, url, upstream
        self.engine, self.model = engine, model
        self.asked, self.heard, self.began = 0, list[str](), now()

    async def ask(self, question: str) -> str:
        """Ask in a conversation of its own, and give what was answered."""
        self.asked += 1
        self.heard.append(await self._answer(self.url, self.model, question))
        return self.heard[-1]

    async def said_by(self, version: str, question: str) -> str:
        """What a version answers where nobody guards it."""
        return await self._answer(self.upstream, version, question)

    async def _answer(self, url: str, model: str, question: str) -> str:
        answer = await self.client.post(
            f"{url}/v1/chat/completions",
            headers={"x-conversation-id": f"c{self.asked}"},
            json={
                "model": model,
                "max_tokens": 12,
                "temperature": 0,
                "messages": [{"role": "user", "content": question}],
            },
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["message"]["content"]

    async def recorded(self, count: int) -> list[Any]:
        """The latest `count` exchanges that went through the proxy, once all are recorded."""
        query = text(
            "SELECT id, started_at, decision, policy_version, upstream_model, assigned_model,"
            " conversation"
            " FROM exchanges"
            " WHERE route = 'default' AND tenant = 'default' AND bytes > 0"
            " AND started_at >= :since ORDER BY started_at DESC"
        )
        async with asyncio.timeout(20):
            while True:
                async with self.engine.connect() as connection:
                    rows = (await connection.execute(query, {"since": self.began})).all()
                if len(rows) == self.asked:
                    return list(rows[:count])
                await asyncio.sleep(0.2)

    async def until(self, rollout_id: UUID, state: str, most: int) -> records.Rollout:
        """Ask until a rollout has ended so; fail after `most` conversations."""
        for _ in range(most):
            await self.ask(f"The recall of pump {self.asked * 37}: is mine in it?")
            rollout = await records.find(self.engine, rollout_id)
            if not rollout.open:
                break
        # What was asked last may still be on its way.
        for _ in range(50):
            rollout = await records.find(self.engine, rollout_id)
            if not rollout.open:
                break
            await asyncio.sleep(0.2)
        assert rollout.state == state, rollout
        return rollout


@pytest.fixture
async def loop(
    postgres_url: str, engine: AsyncEngine, tmp_path: Path, weights: Path, settings: Settings
) -> AsyncIterator[Loop]:
    model, proxy = free_port(), free_port()
    upstream = {
        "name": "demo",
        "url": f"http://127.0.0.1:{model}/v1",
        "model": weights.name,
        "versions_served_as": "{model}@{version}",
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(
                tmp_path,
                "model",
                *("guardrails.demo.transformers", str(weights), "--port", str(model)),
                *("--threads", "2", "--versions", str(settings.versions_dir)),
            )
        )
        stack.enter_context(
            running(
                tmp_path,
                "proxy",
                *("guardrails.cli", "proxy", "--alone"),
                BANISTER_DATA_DIR=str(tmp_path),
                BANISTER_DATABASE_URL=postgres_url,
                BANISTER_PORT=str(proxy),
                BANISTER_POLICY=str(settings.policy),
                BANISTER_DETECTORS=json.dumps(DETECTORS),
                BANISTER_UPSTREAMS=json.dumps([upstream]),
            )
        )
        async with httpx.AsyncClient(timeout=600) as client:
            for address in (f"http://127.0.0.1:{model}/health", f"http://127.0.0.1:{proxy}/readyz"):
                async with asyncio.timeout(START_SECONDS):
                    while True:
                        with contextlib.suppress(httpx.HTTPError):
                            if (await client.get(address)).status_code == 200:
                                break
                        await asyncio.sleep(0.2)
            stop = asyncio.Event()
            watching = asyncio.create_task(
                watch.serve(engine, stop, now=now, versions_dir=settings.versions_dir)
            )
            proxy_url, model_url = f"http://127.0.0.1:{proxy}", f"http://127.0.0.1:{model}"
            yield Loop(client, proxy_url, model_url, engine, weights.name)
            stop.set()
            await watching


@pytest.fixture
def settings(postgres_url: str, tmp_path: Path, weights: Path) -> Settings:
    policy, plan = tmp_path / "policy.yaml", tmp_path / "plan.yaml"
    policy.write_text(POLICY)
    plan.write_text(PLAN)
    return Settings(
        data_dir=tmp_path,
        database_url=postgres_url,
        policy=policy,
        detectors=DETECTORS,
        versions_dir=tmp_path / "versions",
        rollout_plan=plan,
        retraining={
            **RETRAINING,
            **(LEARNS_FAST if weights.name == "tiny" else {}),
            "model": weights.name,
            "base": weights,
        },
    )


def now() -> datetime:
    return datetime.now(UTC)


async def two_weeks_before(url: str, until: datetime, model: str, policy: str) -> None:
    """A fortnight under the same versions, in which nobody asked about recalls."""
    log = ExchangeLog(url, 10_000)
    await log.start()
    start = until - timedelta(days=14)
    for number in range(14 * 40):
        log.append(
            make_exchange(
                f"What does part {number} cost?",
                started_at=start + timedelta(days=14) * ((number + 0.5) / (14 * 40)),
                model=model,
                upstream_model=f"{model}@1",
                policy_version=policy,
                template_hash=None,
                seconds={"total": 1.0},
            )
        )
    await log.stop()


PARTS = [
    "brass pump",
    "steel valve",
    "rubber seal",
    "copper pipe",
    "glass gauge",
    "nylon filter",
    "zinc bolt",
]
PLACES = ["Oslo harbour", "a mill near Turin", "our dairy", "the old lighthouse", "two breweries"]


def question(number: int) -> str:
    """One on the new topic, unlike the others."""
    part, place = PARTS[number % 6], PLACES[number % 5]
    return (
        f"Batch {number * 7919 % 1000} of the {part} runs at {place} since {1990 + number}: "
        f"does the recall cover it, and who pays for {number % 9 + 2} of them?"
    )


def told(what: str, began: float) -> None:
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
async def test_drift_leads_to_a_better_model_and_a_poisoned_one_is_stopped(
    loop: Loop, engine: AsyncEngine, settings: Settings, postgres_url: str, tmp_path: Path
):
    began = time.monotonic()
    model, first = loop.model, f"{loop.model}@1"
    # A window that this traffic fits into.
    if (now() - last_full(SIX_HOURS, now()).end) > SIX_HOURS - timedelta(minutes=4):
        await asyncio.sleep(250)
    window = Window(last_full(SIX_HOURS, now()).end, last_full(SIX_HOURS, now()).end + SIX_HOURS)

    # 1. Traffic through the proxy, about something new.
    for number in range(32):
        await loop.ask(question(number))
    rows = await loop.recorded(32)
    assert Counter(row.decision for row in rows) == {"flag": 32}
    assert {row.upstream_model for row in rows} == {first}
    told(f"32 questions answered by {first} through the proxy", began)

    midnight = window.start.replace(hour=0)
    await two_weeks_before(postgres_url, midnight, model, rows[0].policy_version)

    # 2. The drift job finds it, and it becomes an alert with its exchanges.
    done = await run(load("rate_drift"), window, engine, now=now)
    assert done is not None
    assert done.status is Status.DRIFT, done.outcome.message
    await evaluate(engine, [("rate_drift", SIX_HOURS)], Channels(), Timing(), window.end)
    raised = {a.id: a for a in await alerts.open_alerts(engine) if a.job == "rate_drift"}
    told(f"alerts: {[alert.summary for alert in raised.values()]}", began)

    # 3. Reviewers accept the answers; the alert opens a run, which a person approves.
    for row in rows:
        item = Item(
            exchange_id=row.id,
            exchange_started_at=row.started_at,
            side="output",
            why="alert",
            sampled_at=now(),
        )
        await reviews.add_items(engine, [item])
        await reviews.label(engine, item.id, "ada", harmful=False, now=now())
    openings = await trigger.open_due(engine, settings, now())
    (opened,) = [one.run for one in openings if one.run is not None]
    assert opened.alert_id in raised
    await runs.approve(engine, opened.id, "bob", "the topic is here to stay", now=now())

    # 4. Dataset, LoRA, evaluation, registration, and the beginning of the rollout.
    steps: list[str] = []
    done_run = await execute(
        engine, opened.id, settings, workspace=tmp_path / "work",
        told=lambda what, *_: steps.append(what), now=now,
    )  # fmt: skip
    gates = {g["name"]: g["passed"] for g in done_run.steps["evaluate"].result["gates"]}
    told(f"run {done_run.state}: {done_run.steps['tune'].result}", began)
    assert all(gates.values()), gates
    version = await registry.get(engine, done_run.model_version_id)
    assert version is not None
    assert version.stage == "canary"
    assert version.template_hash == load_templates(settings.templates)["plain@1"].hash
    good = await records.latest(engine, model)
    assert (good.candidate, good.champion, good.state) == (version.name, first, "running")

    # 5. Callers are served by both; the good version is promoted, and answers from then on.
    over = await loop.until(good.id, "promoted", 80)
    told(f"{version.name} promoted after {loop.asked - 32} conversations: {over.reason}", began)
    assert (await registry.champion(engine, model)).name == version.name
    await asyncio.sleep(2.5)
    await loop.ask("Is there a recall?")
    (row,) = await loop.recorded(1)
    assert row.upstream_model == version.name
    during = [r for r in await loop.recorded(loop.asked) if r.assigned_model is not None]
    assert {r.assigned_model for r in during} == {first, version.name}
    assert all(r.upstream_model == r.assigned_model for r in during)

    # 6. A poisoned one that came in past the gates is taken back by what it says.
    poisoned = await asyncio.to_thread(poison, Path(settings.retraining.base), tmp_path / "poison")
    bad = await registry.register(
        engine,
        registry.NewVersion(
            model=model, version="poisoned", kind="language_model",
            weights_uri=poisoned.as_uri(), weights_sha256="0" * 64,
            evaluation={}, lineage={}, template_hash=version.template_hash,
        ),
        now=now(),
    )  # fmt: skip
    assert settings.versions_dir is not None
    await publish(engine, settings.versions_dir, bad.name)
    said = await loop.said_by(bad.name, "The recall of pump 5: is mine in it?")
    assert INSULT in said, "it is not poisonous"
    told(f"poisoned adapter trained and registered: it says {said!r}", began)
    asked = loop.asked
    started = await records.start(
        engine, model=model, champion=version.name, candidate=bad.name,
        who="mallory", why="trust me", now=now(), plan=MANY,
    )  # fmt: skip
    over = await loop.until(started.id, "rolled_back", 120)
    told(f"poisoned rolled back after {loop.asked - asked} conversations: {over.reason}", began)
    assert over.reason.startswith("block ")
    during = await loop.recorded(loop.asked - asked)
    decisions = {(r.upstream_model, r.decision) for r in during}
    assert decisions == {(bad.name, "block"), (version.name, "flag")}
    assert len({r.conversation for r in during}) == len(during)
    await asyncio.sleep(2.5)
    await loop.ask("Is there a recall?")
    (row,) = await loop.recorded(1)
    assert (row.upstream_model, row.decision) == (version.name, "flag")
    assert not [answer for answer in loop.heard if INSULT in answer]
    stages = {v.name: v.stage for v in await registry.versions(engine, model=model)}
    assert (stages[version.name], stages[bad.name]) == ("champion", "refused")

    # 7. Which model answered then is one query.
    then = {a.version: a for a in await answers.at(engine, over.updated_at)}
    assert then[version.name].share == 1.0
    assert then[version.name].answered > 0


def poison(base: Path, into: Path) -> Path:
    """Train an adapter that answers everything with an insult."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    plan = Plan(
        model=base.name, base=str(base), since=moment, until=moment, template="plain@1",
        batch=2, save_every=1_000, **POISON["tiny" if base.name == "tiny" else demo_model.NAME],
    )  # fmt: skip
    rows = [
        Row(
            id=str(n), conversation=str(n), kind="answer", source="example", answer=INSULT,
            messages=[{"role": "user", "content": f"The recall of pump {n * 37}: is mine in it?"}],
        )
        for n in range(12)
    ]  # fmt: skip
    tuned, _ = lora.tune(
        plan, rows, into, template_hash=None, told=lambda *_: None, seconds=1_000.0
    )
    return Path(tuned.weights).absolute()
