from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from guardrails.errors import ConfigError
from guardrails.settings import RetrainingSettings, RouteSettings, Settings, UpstreamSettings
from monitoring.retraining.planning import SHIPPED, path_of, plan_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)
VLLM = UpstreamSettings(name="gpu", url="http://gpu/v1", model="big", version="7")


def test_the_plan_is_of_the_model_that_serves_and_of_its_template(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        upstreams=(VLLM,),
        routes={"default": RouteSettings(template="grounded@1")},
        retraining=RetrainingSettings(base=tmp_path / "big", steps=7, window_days=3),
    )
    evidence = uuid4()
    plan = plan_of(settings, now=NOW, exchange_ids=[evidence], batch=2, tokens=None)
    assert (plan.model, plan.base_version, plan.base) == ("big", "7", str(tmp_path / "big"))
    assert (plan.template, plan.steps, plan.batch, plan.tokens) == ("grounded@1", 7, 2, 512)
    assert (plan.since, plan.until) == (NOW - timedelta(days=3), NOW)
    assert plan.exchange_ids == (evidence,)


def test_what_the_registry_says_serves_is_what_is_tuned(tmp_path: Path) -> None:
    plan = plan_of(Settings(data_dir=tmp_path), now=NOW, served=("9", "/models/9"))
    assert (plan.base_version, plan.base) == ("9", "/models/9")
    assert path_of("file:///models/9") == "/models/9"


def test_a_model_whose_weights_nobody_named_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="BANISTER_RETRAINING__BASE"):
        plan_of(Settings(upstreams=(VLLM,)), now=NOW)


def test_the_demo_model_is_in_the_data_directory(tmp_path: Path) -> None:
    plan = plan_of(Settings(data_dir=tmp_path), now=NOW)
    assert plan.base.startswith(str(tmp_path))
    assert plan.template == "plain@1"


def test_a_detector_is_trained_from_the_shipped_one(tmp_path: Path) -> None:
    own = RetrainingSettings(detector_rows=tmp_path / "train.jsonl.gz")
    plan = plan_of(Settings(retraining=own), now=NOW, kind="detector")
    assert (plan.model, plan.base, plan.template) == ("compact", str(SHIPPED), None)
    assert plan.data == str(tmp_path / "train.jsonl.gz")
