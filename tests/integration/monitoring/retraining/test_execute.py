from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import torch
import yaml
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import BadRequest, ConfigError
from guardrails.prompt.render import load_templates
from guardrails.settings import RetrainingSettings, Settings
from monitoring.retraining import harm, kinds, lora, registry, runs
from monitoring.retraining.answers import Speaker
from monitoring.retraining.evaluate import Harm
from monitoring.retraining.execute import execute, run_step
from monitoring.retraining.plan import STEPS, Plan
from monitoring.retraining.planning import plan_of
from monitoring.retraining.register import weights_sha256
from monitoring.retraining.rows import TRAIN, read_rows
from monitoring.retraining.runs import Asked, RetrainingRun
from monitoring.rollout import records as rollouts
from tests.integration.monitoring.retraining.reviewed import (
    NOW,
    log,
    pump_exchanges,
    review,
    tiny_model,
)

SMALL: dict[str, Any] = {
    "steps": 12,
    "batch": 4,
    "tokens": 256,
    "rate": 0.02,
    "prompts": 6,
    "answer_tokens": 4,
    "save_every": 4,
    # Random words are as bad as each other, and a token takes no time: these say nothing here.
    "gates": {
        "answer overlap": -1.0,
        "groundedness": -1.0,
        "seconds a token": 9.0,
        "bias gap": 1.0,
        "safe prompts refused": 1.0,
    },
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compact model takes seconds to load, and reads nothing out of random letters."""

    def judge_of(finder: object) -> Any:
        return lambda texts: [Harm(False, 0.0) for _ in texts]

    monkeypatch.setattr("monitoring.retraining.kinds.language_model.judge_of", judge_of)
    torch.set_num_threads(1)


def settings_for(base: Path, tmp_path: Path, url: str) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=url,
        retraining=RetrainingSettings(model="small", base=base),
    )


async def opened(engine: AsyncEngine, settings: Settings, **changes: Any) -> RetrainingRun:
    plan = plan_of(settings, now=NOW + timedelta(hours=1), **{**SMALL, **changes})
    opening = await runs.open_run(
        engine,
        Asked("k", "small", "the topic is new", "ada", parameters=msgspec.to_builtins(plan)),
        now=NOW,
        needs_approval=False,
    )
    assert opening.run is not None
    return opening.run


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_run_goes_from_reviewed_exchanges_to_a_canary(
    engine: AsyncEngine, postgres_url: str, base: Path, tmp_path: Path
) -> None:
    exchanges = pump_exchanges(40)
    await log(postgres_url, exchanges)
    await review(engine, exchanges)
    settings = settings_for(base, tmp_path, postgres_url)
    run = await opened(engine, settings)
    told: list[tuple[str, int, int]] = []
    done = await execute(
        engine,
        run.id,
        settings,
        workspace=tmp_path / "work",
        told=lambda *what: told.append(what),
        now=now,
    )
    failed = [g for g in done.steps["evaluate"].result["gates"] if not g["passed"]]
    assert failed == []
    assert done.state == "succeeded"
    assert [done.steps[step].state for step in STEPS] == ["done"] * 5
    assert {what.partition(",")[0] for what, _, _ in told} == {"tune", "answers"}

    # What was trained on is what production renders, and the version says so.
    template = load_templates(settings.templates)["plain@1"]
    rows = read_rows(tmp_path / "work" / str(run.id) / "prepare" / TRAIN)
    by_id = {exchange.id: exchange for exchange in exchanges}
    assert all(row.messages == by_id[row.id].prompt["messages"] for row in rows)
    assert done.model_version_id is not None
    version = await registry.get(engine, done.model_version_id)
    assert version is not None
    assert version.template_hash == template.hash
    assert version.dataset_sha256 == done.dataset_sha256
    assert version.stage == "canary"
    assert version.lineage["run_id"] == str(run.id)
    assert version.lineage["packages"]["peft"]
    assert {gate["name"] for gate in version.evaluation["gates"]} >= {"held-out loss"}

    # What served before is its parent, and the rollout holds one against the other.
    parent = await registry.champion(engine, "small")
    assert parent is not None
    assert (parent.version, version.parent) == ("1", parent.id)
    rollout = await rollouts.latest(engine, "small")
    assert rollout is not None
    assert (rollout.champion, rollout.candidate) == ("small@1", version.name)

    # The weights are whole, hashed, carry the template's hash, and are described to MLflow.
    weights = Path(version.weights_uri.removeprefix("file://"))
    assert weights_sha256(weights) == version.weights_sha256
    assert (weights / lora.TEMPLATE).read_text().strip() == template.hash
    described = yaml.safe_load((weights.parent / "MLmodel").read_text())
    assert described["flavors"]["transformers"]["model_binary"] == "model"
    assert described["metadata"]["dataset_sha256"] == version.dataset_sha256
    assert (tmp_path / "work" / str(run.id) / "tune" / "loss.svg").read_text().startswith("<svg")

    # A second look at the same run does nothing again.
    assert (await execute(
        engine, run.id, settings, workspace=tmp_path / "work", told=print, now=now
    )) == done  # fmt: skip


async def test_a_version_that_fails_a_gate_is_kept_as_refused_and_never_rolled_out(
    engine: AsyncEngine, postgres_url: str, base: Path, tmp_path: Path
) -> None:
    exchanges = pump_exchanges(40)
    await log(postgres_url, exchanges)
    await review(engine, exchanges)
    settings = settings_for(base, tmp_path, postgres_url)
    run = await opened(engine, settings, steps=1, gates={**SMALL["gates"], "held-out loss": -9.0})
    done = await execute(
        engine, run.id, settings, workspace=tmp_path, told=lambda *what: None, now=now
    )
    assert done.state == "refused"
    assert "held-out loss" in (done.outcome or "")
    (version, _) = sorted(await registry.versions(engine), key=lambda one: one.stage, reverse=True)
    assert version.stage == "refused"
    assert await rollouts.latest(engine, "small") is None


async def test_a_run_without_reviews_fails_and_says_why(
    engine: AsyncEngine, postgres_url: str, base: Path, tmp_path: Path
) -> None:
    exchanges = pump_exchanges(3)
    await log(postgres_url, exchanges)
    settings = settings_for(base, tmp_path, postgres_url)
    ids = tuple(UUID(exchange.id) for exchange in exchanges)
    run = await opened(engine, settings, exchange_ids=ids)
    with pytest.raises(ConfigError, match="3 not reviewed"):
        await execute(engine, run.id, settings, workspace=tmp_path, told=print, now=now)
    failed = await runs.get(engine, run.id)
    assert failed is not None
    assert failed.state == "failed"
    assert "3 not reviewed" in (failed.outcome or "")


async def test_time_that_is_over_ends_a_run_and_more_of_it_lets_it_go_on(
    engine: AsyncEngine, postgres_url: str, base: Path, tmp_path: Path
) -> None:
    exchanges = pump_exchanges(40)
    await log(postgres_url, exchanges)
    await review(engine, exchanges)
    settings = settings_for(base, tmp_path, postgres_url)
    run = await opened(engine, settings, seconds=0.0)
    with pytest.raises(BadRequest, match="time was over"):
        await run_step(engine, run.id, "prepare", settings, workspace=tmp_path, told=print, now=now)
    await runs.replan(engine, run.id, {**run.parameters, "seconds": 600.0})
    again = await run_step(
        engine, run.id, "prepare", settings, workspace=tmp_path, told=print, now=now
    )
    assert (again.state, again.steps["prepare"].attempts) == ("running", 2)


async def test_only_one_process_works_on_a_run(
    engine: AsyncEngine, postgres_url: str, base: Path, tmp_path: Path
) -> None:
    settings = settings_for(base, tmp_path, postgres_url)
    run = await opened(engine, settings)
    async with runs.claim(engine, run.id):
        with pytest.raises(BadRequest, match="Another process"):
            await execute(engine, run.id, settings, workspace=tmp_path, told=print, now=now)


async def test_a_run_whose_process_was_killed_goes_on_at_that_step(
    engine: AsyncEngine, postgres_url: str, base: Path, tmp_path: Path
) -> None:
    exchanges = pump_exchanges(40)
    await log(postgres_url, exchanges)
    await review(engine, exchanges)
    settings = settings_for(base, tmp_path, postgres_url)
    # So many steps that it is surely killed among them; then so few that it soon ends.
    run = await opened(engine, settings, steps=100_000, save_every=2)
    environment = {
        **os.environ,
        "BANISTER_DATABASE_URL": postgres_url,
        "BANISTER_DATA_DIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "guardrails.cli", "retrain", "--resume", str(run.id)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoint = tmp_path / "retraining" / str(run.id) / "tune" / lora.CHECKPOINT
    async with asyncio.timeout(90):
        while not checkpoint.exists():
            assert process.poll() is None
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cut = await runs.get(engine, run.id)
    assert cut is not None
    assert {name: step.state for name, step in cut.steps.items()} == {
        "prepare": "done",
        "tune": "running",
    }
    reached = len(torch.load(checkpoint, weights_only=True)["losses"])
    # Its lock went with it.
    told: list[int] = []
    await runs.replan(engine, run.id, {**run.parameters, "steps": reached + 3})
    kept = tmp_path / "retraining" / str(run.id) / "prepare" / TRAIN
    before = kept.stat().st_mtime_ns
    after = await run_step(
        engine,
        run.id,
        "tune",
        settings,
        workspace=tmp_path / "retraining",
        told=lambda what, done, of: told.append(done),
        now=now,
    )
    assert told == [reached + 1, reached + 2, reached + 3]
    assert after.steps["tune"].attempts == 2
    assert kept.stat().st_mtime_ns == before


def plan_for(base: Path, **changes: Any) -> Plan:
    values = {"model": "small", "base": str(base), "since": NOW, "until": NOW, **SMALL}
    return Plan(**{**values, **changes})


def rows_of(count: int = 12) -> Sequence[Any]:
    from monitoring.retraining.rows import Row

    return [
        Row(
            id=str(n),
            conversation=str(n),
            kind="answer",
            source="review",
            messages=[{"role": "user", "content": f"What does pump {n} need?"}],
            answer=f"Pump {n} needs oil of grade {n}.",
        )
        for n in range(count)
    ]


def test_only_the_answers_tokens_count_in_the_loss(base: Path) -> None:
    _, tokenizer = lora.load_base(base)
    ((ids, prompt),) = lora.encode(tokenizer, rows_of(1), 512)
    assert tokenizer.decode(ids[prompt:]) == "Pump 0 needs oil of grade 0.<|im_end|>\n"
    asked = [[{"role": "user", "content": "What does pump 0 need?"}]]
    text = tokenizer.apply_chat_template(asked[0], tokenize=False, add_generation_prompt=True)
    assert tokenizer.decode(ids[:prompt]) == text
    assert lora.encode(tokenizer, rows_of(1), 10) == []


def test_a_run_that_was_broken_off_ends_as_it_would_have(base: Path, tmp_path: Path) -> None:
    def tuned(into: Path, **more: Any) -> list[float]:
        _, losses = lora.tune(
            plan_for(base), rows_of(), into, template_hash="abc", told=lambda *what: None, **more
        )
        return losses

    whole = tuned(tmp_path / "whole", seconds=600.0)
    ticks = iter(range(0, 10_000))
    with pytest.raises(lora.BudgetSpent, match="after step"):
        tuned(tmp_path / "cut", seconds=6.0, clock=lambda: float(next(ticks)))
    assert (tmp_path / "cut" / lora.CHECKPOINT).exists()
    assert tuned(tmp_path / "cut", seconds=600.0) == whole
    one, two = (
        (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes()
        for name in ("whole", "cut")
    )
    assert one == two
    assert whole[-1] < whole[0]


def test_merged_weights_say_what_base_and_adapter_say(base: Path, tmp_path: Path) -> None:
    lora.tune(
        plan_for(base), rows_of(), tmp_path, template_hash="abc", told=lambda *w: None, seconds=600
    )
    lora.merge(base, tmp_path / "adapter", tmp_path / "merged")
    rows = rows_of(3)
    merged = Speaker(tmp_path / "merged").losses(rows, 512)
    beside = Speaker(base, tmp_path / "adapter", merged=False).losses(rows, 512)
    assert merged == pytest.approx(beside, abs=1e-4)
    untuned = Speaker(base).losses(rows, 512)
    assert all(one < other for one, other in zip(merged, untuned, strict=True))
    assert Speaker(base).losses(rows, 5) == [None] * 3


def test_an_adapter_that_serves_is_tuned_further(base: Path, tmp_path: Path) -> None:
    def tune(on: Path, into: Path) -> list[float]:
        _, losses = lora.tune(
            plan_for(on), rows_of(), into, template_hash=None, told=lambda *w: None, seconds=600
        )
        return losses

    first = tune(base, tmp_path / "one")
    assert lora.is_adapter(tmp_path / "one" / "adapter")
    assert tune(tmp_path / "one" / "adapter", tmp_path / "two")[0] < first[0]


def test_a_speaker_answers_in_order_without_chance(base: Path) -> None:
    speaker = Speaker(base)
    prompts = [[{"role": "user", "content": f"{'long ' * n} question {n}"}] for n in range(10)]
    said = [one for part in speaker.answers(prompts, 5) for one in part]
    assert len(said) == 10
    assert [one.text for one in said] == [
        one.text for part in speaker.answers(prompts, 5) for one in part
    ]
    assert all(1 <= one.tokens <= 5 and one.seconds > 0 for one in said)


def test_a_directory_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model to tune"):
        lora.load_base(tmp_path / "nothing")


def test_our_detectors_flag_abuse_and_leaks() -> None:
    from guardrails.detectors import finders_of

    judge = harm.judge_of(finders_of({})["patterns"])
    rude, leak, kind = judge(
        [
            "You are a stupid worthless idiot.",
            "Write to ann@example.com",
            "The library opens at nine.",
        ]
    )
    assert (rude.flagged, leak.flagged, kind.flagged) == (True, True, False)
    assert rude.abuse > kind.abuse


def test_each_kind_has_its_steps() -> None:
    for kind in ("language_model", "detector"):
        module = kinds.module_of(kind)
        assert all(hasattr(module, name) for name in ("prepare", "tune", "evaluate", "weights"))
