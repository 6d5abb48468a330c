from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import uuid4

from rich.console import Console

from monitoring.retraining.registry import ModelVersion
from monitoring.retraining.runs import RetrainingRun, Step
from monitoring.retraining.tables import run_table, runs_table, versions_table

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
GATE = {
    "name": "held-out loss", "value": -0.5, "low": -0.6, "high": -0.4, "threshold": 0.0, "n": 8,
    "passed": True,
}  # fmt: skip
THIN = {**GATE, "name": "bias gap", "value": None, "low": None, "high": None, "passed": False}


def shown(renderable: object) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def run_of() -> RetrainingRun:
    steps = {
        "prepare": Step("done", 1, NOW, NOW, {}),
        "evaluate": Step("done", 2, NOW, NOW, {"gates": [GATE, THIN]}),
        "register": Step("failed", 1, NOW, NOW, {}, "the disk is [full]"),
    }
    return RetrainingRun(
        uuid4(), "k", "language_model", "small", None, "drift", "monitor", {}, "failed", steps,
        None, None, "ada", NOW, "a new topic", NOW, NOW, "register: the disk is [full]",
    )  # fmt: skip


def test_a_run_shows_its_steps_its_decision_and_each_gate() -> None:
    text = shown(run_table(run_of()))
    for part in ("by ada at 2026-11-26 12:00:00: a new topic", "the disk is [full]", "-0.500"):
        assert part in text
    assert "no result" in text
    assert text.index("held-out loss") < text.index("bias gap")


def test_runs_and_versions_are_one_line_each() -> None:
    run = run_of()
    assert str(run.id) in shown(runs_table([run]))
    version = ModelVersion(
        model="small", version="2", kind="language_model", weights_uri="file:///m",
        weights_sha256="abcdef" * 9, evaluation={}, lineage={}, id=uuid4(), registered_at=NOW,
    )  # fmt: skip
    assert "small@2" in shown(versions_table([version]))
