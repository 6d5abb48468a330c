from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from click.testing import CliRunner, Result
from kfp import components

from guardrails.database import make_engine
from guardrails.errors import BadRequest
from monitoring.retraining import registry
from monitoring.retraining.command import retrain
from monitoring.retraining.registry import NewVersion
from tests.integration.monitoring.retraining.reviewed import NOW

Run = Callable[..., Result]


@pytest.fixture
def run(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("BANISTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BANISTER_RETRAINING__BASE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(retrain, arguments, catch_exceptions=False)

    return invoke


def test_a_run_waits_is_approved_or_refused_and_is_shown(run: Run) -> None:
    asked = run("--approval", "--reason", "the topic is new", "--steps", "3")
    assert asked.exit_code == 0
    assert "It waits: banister retrain approve" in asked.output
    (run_id,) = {word for word in asked.output.split() if word.count("-") == 4}
    listed = run("list")
    assert "waiting" in listed.output
    approved = run("approve", run_id, "--reason", "labels are good", "--by", "ada")
    assert "Approved by ada" in approved.output
    shown = json.loads(run("show", run_id, "--json").output)
    assert shown["state"] == "approved"
    assert shown["parameters"]["steps"] == 3
    assert (shown["approver"], shown["decision_reason"]) == ("ada", "labels are good")
    assert "by ada at" in run("show", run_id).output
    assert "Refused by bob" in run("refuse", run_id, "--reason", "no", "--by", "bob").output
    with pytest.raises(BadRequest, match="refused"):
        run("approve", run_id, "--reason", "again")


def test_a_pipeline_does_not_begin_before_somebody_approved(run: Run) -> None:
    with pytest.raises(BadRequest, match="banister retrain approve"):
        run("open", "--key", "week-48")


def test_a_held_run_gives_a_pipeline_no_id_and_its_steps_then_do_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANISTER_RETRAINING__APPROVAL", "false")
    first = run("open", "--key", "a").stdout.strip()
    assert run("open", "--key", "a").stdout.strip() == first
    assert run("open", "--run", first).stdout.strip() == first
    held = run("open", "--key", "b")
    assert held.stdout.strip() == ""
    assert "in flight" in held.stderr
    assert "nothing to do" in run("step", "prepare", "--run", "").output


def test_unknown_runs_and_alerts_are_named(run: Run) -> None:
    for arguments in (
        ("show", str(uuid4())),
        ("--resume", str(uuid4())),
        ("--alert", str(uuid4())),
    ):
        with pytest.raises(BadRequest, match="There is no"):
            run(*arguments)


def test_the_registry_is_listed(run: Run, postgres_url: str) -> None:
    async def register() -> None:
        engine = make_engine(postgres_url)
        new = NewVersion("small", "5", "language_model", "file:///m/5", "abcdef" * 9, {}, {})
        await registry.register(engine, new, now=NOW)
        await engine.dispose()

    asyncio.run(register())
    assert "small@5" in run("list", "--models").output


def test_the_pipeline_is_compiled_to_what_kubeflow_loads(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "pipeline.yaml"
    assert (
        "Written to"
        in run("--compile", str(target), "--image", "registry.example/banister:7").output
    )
    loaded = components.load_component_from_file(str(target))
    assert loaded.name == "banister-retraining"
    assert set(loaded.component_spec.inputs) == {
        "run", "reason", "workspace", "config", "approval_hours",
    }  # fmt: skip
    spec = yaml.safe_load(target.read_text())
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks) == {"opened", "prepare", "tune", "evaluate", "register", "promote"}
    assert set(tasks["promote"]["dependentTasks"]) == {
        "opened", "prepare", "tune", "evaluate", "register",
    }  # fmt: skip
    images = {
        executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()
    }
    assert images == {"registry.example/banister:7"}
    assert not any(
        "pip install" in str(executor) for executor in spec["deploymentSpec"]["executors"]
    )
