from __future__ import annotations

import msgspec
import pytest

from guardrails.errors import ConfigError
from monitoring.rollout.plan import Plan, Step, plan_of


def test_the_usual_plan_goes_by_1_5_25_50_and_then_100_percent():
    assert [step.share for step in Plan().steps] == [0.01, 0.05, 0.25, 0.5]


def test_a_plan_survives_its_record():
    plan = Plan(steps=(Step(0.1, 5, 3),), tolerated={"error": 2.0})
    assert msgspec.convert(msgspec.to_builtins(plan), Plan) == plan


@pytest.mark.parametrize(
    "plan",
    [
        {"steps": []},
        {"steps": [{"share": 0, "seconds": 1, "conversations": 1}]},
        {"steps": [{"share": 0.5, "seconds": 1, "conversations": 1}] * 2},
        {"false_rollback": 0},
        {"tolerated": {"error": 0.5}},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(plan, Plan)


def test_a_plan_is_read_from_a_file(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("steps: [{share: 0.2, seconds: 1, conversations: 5}]")
    assert plan_of(path) == Plan(steps=(Step(0.2, 1, 5),))
    assert plan_of(None) == Plan()


@pytest.mark.parametrize("written", [None, "steps: 5", "steps: ["])
def test_a_file_that_holds_no_plan_is_refused(tmp_path, written):
    path = tmp_path / "plan.yaml"
    if written is not None:
        path.write_text(written)
    with pytest.raises(ConfigError, match=r"plan\.yaml"):
        plan_of(path)
