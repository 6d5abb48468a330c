from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.settings import RetrainingSettings, Settings
from monitoring.retraining import runs
from monitoring.retraining.pipeline import build
from monitoring.retraining.plan import STEPS
from monitoring.retraining.planning import plan_of
from monitoring.retraining.runs import Asked
from tests.integration.monitoring.retraining.reviewed import (
    NOW,
    log,
    pump_exchanges,
    review,
    tiny_model,
)


def test_every_step_has_its_component_in_the_given_image() -> None:
    spec = build("example/banister:7").pipeline_spec
    assert {name.removeprefix("comp-") for name in spec.components} == {"opened", *STEPS}


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kfp_local_runs_the_same_steps_and_a_second_time_does_none_of_them(
    engine: AsyncEngine, postgres_url: str, tmp_path: Path
) -> None:
    base = tiny_model(tmp_path / "small")
    exchanges = pump_exchanges(40)
    await log(postgres_url, exchanges)
    await review(engine, exchanges)
    settings = Settings(data_dir=tmp_path, retraining=RetrainingSettings(model="small", base=base))
    plan = plan_of(
        settings, now=NOW + timedelta(hours=1), steps=3, tokens=256, prompts=6, answer_tokens=3
    )
    opening = await runs.open_run(
        engine,
        Asked("k", "small", "r", "ada", parameters=msgspec.to_builtins(plan)),
        now=NOW,
        needs_approval=False,
    )
    assert opening.run is not None
    command = ["-m", "guardrails.cli", "retrain", "--resume", str(opening.run.id), "--kfp"]
    environment = {
        **os.environ,
        "BANISTER_DATABASE_URL": postgres_url,
        "BANISTER_DATA_DIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = await runs.get(engine, opening.run.id)
        assert found is not None
        # Three steps teach nothing: the gates refuse it, and that is on record.
        assert found.state == "refused"
        assert {name: step.attempts for name, step in found.steps.items()} == dict.fromkeys(
            STEPS, 1
        )
    # Every step worked where the next one, or a resumed one, finds it.
    assert {path.name for path in (tmp_path / "retraining" / str(found.id)).iterdir()} == set(STEPS)
