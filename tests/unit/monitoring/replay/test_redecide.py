"""One logged exchange under another policy."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy, Rule
from guardrails.types import Action, Caller, Check, Detection, Segment, Stage
from monitoring.replay.records import Recorded
from monitoring.replay.redecide import UNREADABLE, Change, redecide, worst

USER = Segment(Stage.INPUT, "user", 0, (), "")
TOOL = Segment(Stage.TOOL_RESULT, "tool", 1, (), "")
ANSWER = Segment(Stage.OUTPUT, "assistant", 0, (), "")


def rule(**changes):
    fields = {
        "id": "insults",
        "detector": "compact",
        "label": "insult",
        "stage": ["input", "output"],
        "threshold": 0.5,
        "action": "block",
        "on_error": "block",
    }
    return Rule(**{**fields, **changes})


def measured(*scores, side=Stage.INPUT, label="insult", detector="compact", **changes):
    """One check of a side: its n-th text has the n-th score."""
    detections = tuple(Detection(label, score, number) for number, score in enumerate(scores))
    return Check(detector, "1", side, detections=detections, **changes)


def recorded(*checks, decision=Action.ALLOW, inputs=(USER,), outputs=(ANSWER,)):
    return Recorded(
        id=UUID(int=1),
        started_at=datetime(2026, 11, 23, tzinfo=UTC),
        route="default",
        caller=Caller("k1", "acme"),
        decision=decision,
        policy_version="default@1",
        inputs=inputs,
        outputs=outputs,
        checks=checks,
    )


def again(exchange, *rules):
    return redecide(exchange, Ruling(Policy(name="candidate", rules=rules)))


QUIET = measured(0.1, side=Stage.OUTPUT)


@pytest.mark.parametrize(
    ("before", "action", "score", "change"),
    [
        (Action.ALLOW, "block", 0.6, Change.NEWLY_BLOCKED),
        (Action.FLAG, "block", 0.6, Change.NEWLY_BLOCKED),
        (Action.BLOCK, "block", 0.6, Change.SAME),
        (Action.BLOCK, "block", 0.4, Change.NEWLY_PASSED),
        (Action.BLOCK, "flag", 0.6, Change.NEWLY_PASSED),
        (Action.ALLOW, "flag", 0.6, Change.STRICTER),
        (Action.FLAG, "flag", 0.4, Change.MILDER),
        (Action.ALLOW, "block", 0.4, Change.SAME),
    ],
)
def test_what_was_measured_is_held_against_the_other_rules(before, action, score, change):
    found = again(recorded(measured(score), QUIET, decision=before), rule(action=action))
    assert found.change is change
    assert found.rules == (("insults",) if score >= 0.5 else ())


def test_what_was_not_measured_is_undecided_and_named():
    found = again(recorded(measured(0.1), QUIET), rule(), rule(id="threats", label="threat"))
    assert found.change is Change.UNDECIDED
    assert found.unmeasured == ("compact/threat",)


def test_detector_that_never_ran_leaves_its_rules_undecided():
    found = again(recorded(measured(0.9), QUIET), rule(id="j", detector="judge", label="unsafe"))
    assert found.change is Change.UNDECIDED
    assert found.unmeasured == ("judge/unsafe",)


def test_missing_score_does_not_matter_where_another_rule_blocks_anyway():
    found = again(recorded(measured(0.9), QUIET), rule(), rule(id="threats", label="threat"))
    assert (found.change, found.unmeasured) == (Change.NEWLY_BLOCKED, ())


@pytest.mark.parametrize("mode", ["shadow", "advise"])
def test_rule_that_does_not_act_never_changes_more_than_a_flag(mode):
    exchange = recorded(measured(0.9), QUIET, decision=Action.FLAG)
    found = again(exchange, rule(mode=mode, label="threat"), rule(id="f", action="flag"))
    assert found.change is Change.SAME


def test_check_that_failed_then_acts_by_on_error_again():
    failed = measured(error="deadline")
    assert again(recorded(failed, QUIET), rule()).change is Change.NEWLY_BLOCKED
    assert again(recorded(failed, QUIET), rule(on_error="allow")).change is Change.SAME


def test_answer_of_what_would_be_withheld_does_not_count():
    exchange = recorded(measured(0.9), measured(0.9, side=Stage.OUTPUT))
    found = again(exchange, rule(stage=["input"]), rule(id="answers", stage=["output"]))
    assert found.rules == ("insults",)


def test_request_that_was_withheld_then_has_no_answer_to_judge():
    exchange = recorded(measured(0.9), decision=Action.BLOCK, outputs=())
    found = again(exchange, rule(threshold=0.95))
    assert (found.change, found.unanswered) == (Change.NEWLY_PASSED, True)


def test_exchange_whose_texts_are_gone_is_undecided():
    exchange = recorded(measured(0.9), decision=Action.BLOCK, inputs=(), outputs=())
    found = again(exchange, rule())
    assert (found.change, found.unmeasured) == (Change.UNDECIDED, (UNREADABLE,))
    assert worst(exchange, rule()) is None


@pytest.mark.parametrize(
    ("changes", "score"),
    [
        ({}, 0.7),
        ({"stage": ["input"]}, 0.2),
        ({"stage": ["tool_result"]}, 0.9),
        ({"stage": ["input", "tool_result"], "roles": ["user"]}, 0.2),
        ({"label": "threat"}, None),
        ({"routes": ["other"]}, None),
        ({"tenants": ["acme"]}, 0.7),
    ],
)
def test_worst_is_the_highest_score_that_the_rule_looks_at(changes, score):
    exchange = recorded(measured(0.2, 0.9), measured(0.7, side=Stage.OUTPUT), inputs=(USER, TOOL))
    assert worst(exchange, rule(**changes)) == score
