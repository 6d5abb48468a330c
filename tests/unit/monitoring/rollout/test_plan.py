from __future__ import annotations

import msgspec
import pytest

from monitoring.rollout.plan import Plan, Step


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
