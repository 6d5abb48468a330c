from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from guardrails.settings import Settings
from monitoring.retraining.plan import Plan, Prepared
from monitoring.retraining.runs import RetrainingRun
from monitoring.retraining.work import RESULT, Work, directories

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PLAN = Plan(model="m", base="b", since=NOW, until=NOW)
PREPARED = Prepared("d", "abc", 8, 2, "hash")


def run_of(run_id: UUID) -> RetrainingRun:
    return RetrainingRun(
        run_id, "k", "language_model", "m", None, "r", "ada", {}, "running", {}, None, None, None,
        None, None, NOW, None, None,
    )  # fmt: skip


def work_of(tmp_path: Path, step: str, run_id: UUID, plan: Plan = PLAN) -> Work:
    run = run_of(run_id)
    places = directories(tmp_path, run)
    places[step].mkdir(parents=True, exist_ok=True)
    nothing: Any = None
    return Work(
        step=step, run=run, plan=plan, into=places[step], given=places, engine=nothing,
        settings=Settings(), told=lambda *what: None, now=lambda: NOW, seconds=1.0,
    )  # fmt: skip


def test_a_step_is_done_once_its_result_stands_and_until_its_plan_changes(tmp_path: Path) -> None:
    run_id = uuid4()
    work = work_of(tmp_path, "prepare", run_id)
    assert work.done() is None
    work.keep(PREPARED)
    assert work.done() == PREPARED
    longer = msgspec.structs.replace(PLAN, seconds=9.0)
    assert work_of(tmp_path, "prepare", run_id, longer).done() == PREPARED
    other = msgspec.structs.replace(PLAN, most_rows=9)
    assert work_of(tmp_path, "prepare", run_id, other).done() is None


def test_a_step_is_done_anew_once_what_it_was_made_from_has_changed(tmp_path: Path) -> None:
    run_id = uuid4()
    prepare, tune = (work_of(tmp_path, step, run_id) for step in ("prepare", "tune"))
    prepare.keep(PREPARED)
    tune.keep({"weights": "w", "steps": 1, "first_loss": 2.0, "last_loss": 1.0, "seconds": 1.0,
               "device": "cpu"})  # fmt: skip
    assert tune.done() is not None
    prepare.keep(msgspec.structs.replace(PREPARED, dataset_sha256="def"))
    assert tune.done() is None
    assert tune.before("prepare", Prepared).dataset_sha256 == "def"


def test_a_damaged_or_missing_result_is_no_result(tmp_path: Path) -> None:
    work = work_of(tmp_path, "tune", uuid4())
    (work.into / RESULT).write_text("{")
    assert work.done() is None
    with pytest.raises(LookupError, match="prepare has left no result"):
        work.before("prepare", Prepared)
