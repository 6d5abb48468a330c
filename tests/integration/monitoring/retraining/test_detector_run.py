from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.inference.compact import read_manifest
from guardrails.settings import RetrainingSettings, Settings
from guardrails.training.dataset import LABELS
from monitoring.retraining import registry, runs
from monitoring.retraining.execute import execute
from monitoring.retraining.planning import plan_of
from monitoring.retraining.runs import Asked
from monitoring.rollout import records as rollouts
from tests.factories import make_exchange
from tests.integration.monitoring.retraining.reviewed import NOW, log, review


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_detector_goes_through_the_same_pipeline_and_is_held_to_its_gates(
    engine: AsyncEngine, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The published rows of our own would add minutes; so few rows train as the whole set does.
    monkeypatch.setattr("guardrails.training.mixture.own_rows", lambda fit, seed: [])
    monkeypatch.setattr("guardrails.training.build.own_rows", lambda fit, seed: [])
    known = tmp_path / "known.jsonl"
    with known.open("w") as file:
        for n in range(200):
            bad = n % 2
            text = f"you are {'awful scum' if bad else 'a dear friend'}, number {n}"
            labels = dict.fromkeys(LABELS, bad)
            file.write(json.dumps({"text": text, "source": "known", "labels": labels}) + "\n")
    rude = [
        make_exchange(
            f"Listen, {n}: you are a zorbling flimwit.",
            "No.",
            started_at=NOW - timedelta(hours=n % 9 + 1),
        )
        for n in range(60)
    ]
    kind = [
        make_exchange(
            f"Listen, {n}: I planted a maple.", "Fine.", started_at=NOW - timedelta(hours=n % 9 + 1)
        )
        for n in range(60)
    ]
    await log(postgres_url, [*rude, *kind])
    await review(engine, rude, side="input", harmful=True, labels=("toxicity",))
    await review(engine, kind, side="input", harmful=False)
    settings = Settings(data_dir=tmp_path, retraining=RetrainingSettings(detector_rows=known))
    plan = plan_of(settings, now=NOW + timedelta(hours=1), kind="detector", first_stage_only=True)
    opening = await runs.open_run(
        engine,
        Asked("d", "compact", "slang", "ada", "detector", parameters=msgspec.to_builtins(plan)),
        now=NOW,
        needs_approval=False,
    )
    assert opening.run is not None
    with warnings.catch_warnings():
        # sklearn's own, on rows of which some label has few.
        warnings.simplefilter("ignore")
        done = await execute(
            engine,
            opening.run.id,
            settings,
            workspace=tmp_path,
            told=lambda *what: None,
            now=lambda: datetime.now(UTC),
        )
    gates = done.steps["evaluate"].result["gates"]
    assert len(gates) == 4
    assert all(gate["low"] is not None for gate in gates)
    assert done.state == ("succeeded" if all(gate["passed"] for gate in gates) else "refused")
    assert done.model_version_id is not None
    version = await registry.get(engine, done.model_version_id)
    assert version is not None
    assert (version.kind, version.model) == ("detector", "compact")
    manifest = read_manifest(Path(version.weights_uri.removeprefix("file://")))
    assert manifest.labels == LABELS
    # It is no upstream: people put it into the settings.
    assert await rollouts.latest(engine, "compact") is None
