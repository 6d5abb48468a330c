"""Rules against scores."""

import pytest

from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy, Rule
from guardrails.types import Action, Caller, Check, Detection, Segment, Stage

CALLER = Caller(key_id="k1", tenant="acme")
USER = Segment(Stage.INPUT, "user", 0, ("messages", 0, "content"), "hello")
SYSTEM = Segment(Stage.INPUT, "system", 1, ("messages", 1, "content"), "be nice")
RESULT = Segment(Stage.TOOL_RESULT, "tool", 2, ("messages", 2, "content"), "42")


def rule(**changes):
    fields = {
        "id": "r",
        "detector": "tox",
        "label": "insult",
        "stage": ["input"],
        "threshold": 0.5,
        "action": "block",
        "on_error": "block",
    }
    return Rule(**{**fields, **changes})


def check(*detections, **changes):
    fields = {"detector": "tox", "version": "1", "side": Stage.INPUT, "detections": detections}
    return Check(**{**fields, **changes})


def decide(rules, checks, segments=(USER,), route="default"):
    ruling = Ruling(Policy(name="p", rules=tuple(rules)))
    return ruling.decide(checks, segments, side=Stage.INPUT, route=route, caller=CALLER)


@pytest.mark.parametrize(
    ("score", "action"),
    [(0.0, Action.ALLOW), (0.499, Action.ALLOW), (0.5, Action.BLOCK), (1.0, Action.BLOCK)],
)
def test_rule_fires_at_its_threshold_and_above(score, action):
    assert decide([rule()], [check(Detection("insult", score))]).action is action


def test_the_strictest_of_all_rules_wins():
    rules = [rule(id="a", action="flag"), rule(id="b", action="redact"), rule(id="c")]
    for count, action in [(1, Action.FLAG), (2, Action.REDACT), (3, Action.BLOCK)]:
        verdict = decide(rules[:count], [check(Detection("insult", 0.9, start=0, end=2))])
        assert verdict.action is action
        assert [reason.rule for reason in verdict.reasons] == ["a", "b", "c"][:count]


@pytest.mark.parametrize("on_error", [Action.ALLOW, Action.FLAG, Action.BLOCK])
@pytest.mark.parametrize(
    ("checks", "error"),
    [
        ([], "the check did not run"),
        ([check(error="the deadline passed")], "the deadline passed"),
        ([check()], "no score for insult"),
        ([check(Detection("threat", 0.9))], "no score for insult"),
    ],
    ids=["missing check", "failed check", "no detection", "missing label"],
)
def test_a_rule_that_could_not_be_checked_acts_by_its_on_error(on_error, checks, error):
    verdict = decide([rule(on_error=on_error)], checks)
    assert verdict.action is on_error
    assert verdict.reasons[0].error == error
    assert verdict.reasons[0].score is None


def test_a_skipped_check_is_neither_fired_nor_failed():
    assert decide([rule()], [check(skipped="no passages")]).reasons == ()


def test_a_shadow_rule_leaves_a_reason_and_changes_nothing():
    verdict = decide([rule(mode="shadow")], [check(Detection("insult", 0.9))])
    assert verdict.action is Action.ALLOW
    assert verdict.reasons[0].shadow
    assert verdict.reasons[0].action is Action.BLOCK


@pytest.mark.parametrize(
    ("action", "done", "advised"),
    [
        ("flag", Action.FLAG, None),
        ("redact", Action.FLAG, Action.REDACT),
        ("block", Action.FLAG, Action.BLOCK),
    ],
)
def test_a_rule_that_advises_tells_what_it_would_have_done_and_flags(action, done, advised):
    verdict = decide([rule(mode="advise", action=action)], [check(Detection("insult", 0.9))])
    assert verdict.action is done
    assert [reason.advised for reason in verdict.reasons] == [advised]
    failed = decide([rule(mode="advise", action=action)], [check(error="late")])
    assert failed.action is Action.FLAG
    assert failed.reasons[0].advised is Action.BLOCK


def test_a_second_policy_in_shadow_is_recorded_under_its_own_name():
    strict = Policy(name="strict", rules=(rule(threshold=0.1),))
    ruling = Ruling(Policy(name="p", rules=(rule(),)), strict)
    verdict = ruling.decide(
        [check(Detection("insult", 0.3))], (USER,), side=Stage.INPUT, route="r", caller=CALLER
    )
    assert verdict.action is Action.ALLOW
    (reason,) = verdict.reasons
    assert (reason.rule, reason.shadow) == (f"{strict.label}:r", True)
    assert ruling.label.startswith("p@")


@pytest.mark.parametrize(
    ("scope", "holds"),
    [
        ({}, True),
        ({"routes": ("default",)}, True),
        ({"routes": ("other",)}, False),
        ({"tenants": ("acme",)}, True),
        ({"tenants": ("rival",)}, False),
        ({"keys": ("k1",)}, True),
        ({"keys": ("k2",)}, False),
        ({"routes": ("default",), "tenants": ("rival",)}, False),
    ],
)
def test_a_rule_holds_only_within_its_scope(scope, holds):
    verdict = decide([rule(**scope)], [check(Detection("insult", 0.9))])
    assert verdict.action is (Action.BLOCK if holds else Action.ALLOW)


def test_a_rule_looks_only_at_the_stages_and_roles_that_it_names():
    segments = (USER, SYSTEM, RESULT)
    for number, (stage, roles) in enumerate(
        [(["input"], ("user",)), (["input"], ("system",)), (["tool_result"], None)]
    ):
        only = rule(stage=stage, roles=roles)
        for segment in range(3):
            found = [
                check(
                    Detection("insult", 0.9, segment=segment),
                    Detection("insult", 0.0, segment=number),
                )
            ]
            fired = decide([only], found, segments).action is Action.BLOCK
            assert fired is (segment == number)


def test_a_rule_whose_texts_are_not_there_needs_no_check():
    assert decide([rule(stage=["tool_result"])], []).reasons == ()


def test_a_redacting_rule_gives_every_span_and_a_blocking_one_its_highest_score():
    found = check(
        Detection("insult", 0.7, start=0, end=2, evidence="a"),
        Detection("insult", 0.9, start=3, end=4, evidence="b"),
        Detection("insult", 0.1, start=4, end=5, evidence="c"),
    )
    spans = decide([rule(action="redact")], [found]).reasons
    assert [(reason.start, reason.end) for reason in spans] == [(0, 2), (3, 4)]
    assert [reason.score for reason in decide([rule()], [found]).reasons] == [0.9]


def test_every_choice_at_fault_has_a_reason_of_its_own():
    choices = [Segment(Stage.OUTPUT, "assistant", n, ("choices", n), "x") for n in range(3)]
    found = check(
        Detection("insult", 0.9, segment=0),
        Detection("insult", 0.1, segment=1),
        Detection("insult", 0.6, segment=2),
        side=Stage.OUTPUT,
    )
    ruling = Ruling(Policy(name="p", rules=(rule(stage=["output"]),)))
    verdict = ruling.decide([found], choices, side=Stage.OUTPUT, route="r", caller=CALLER)
    assert sorted(reason.segment for reason in verdict.reasons) == [0, 2]


def test_only_detectors_that_a_rule_needs_are_asked_for():
    ruling = Ruling(
        Policy(
            name="p",
            rules=(
                rule(id="a"),
                rule(id="b", detector="pii", stage=["output"]),
                rule(id="c", detector="inj", roles=("tool",), stage=["tool_result"]),
                rule(id="d", detector="elsewhere", routes=("other",)),
            ),
        )
    )
    assert ruling.detectors("default", CALLER, (USER,)) == {"tox"}
    assert ruling.detectors("default", CALLER, (USER, RESULT)) == {"tox", "inj"}
    assert ruling.detectors("other", CALLER, (USER,)) == {"tox", "elsewhere"}


def test_a_score_has_no_span_so_its_whole_text_is_redacted():
    found = check(Detection("insult", 0.9, start=3, end=4))
    (reason,) = decide([rule(action="redact")], [found]).reasons
    assert (reason.start, reason.end) == (None, None)


@pytest.mark.parametrize(
    ("changes", "withholds"),
    [
        ({}, True),
        ({"action": "redact", "on_error": "flag"}, True),
        ({"action": "flag", "on_error": "flag"}, False),
        ({"action": "flag", "on_error": "block"}, True),
        ({"mode": "shadow"}, False),
        ({"mode": "advise"}, False),
        ({"stage": ["input"]}, False),
        ({"routes": ("other",)}, False),
    ],
)
def test_only_rules_that_may_withhold_or_change_an_answer_hold_a_stream(changes, withholds):
    ruling = Ruling(Policy(name="p", rules=(rule(**{"stage": ["output"], **changes}),)))
    found = ruling.withholding("default", CALLER, frozenset({Stage.OUTPUT, Stage.TOOL_CALL}))
    assert bool(found) is withholds


def test_the_caller_is_told_the_message_of_the_rule_that_blocked():
    policy = Policy(
        name="p",
        blocked_message="No.",
        rules=(rule(id="a", action="flag", message="flagged"), rule(id="b", message="Be kind.")),
    )
    ruling = Ruling(policy)
    verdict = ruling.decide(
        [check(Detection("insult", 0.9))], (USER,), side=Stage.INPUT, route="r", caller=CALLER
    )
    assert ruling.notice(verdict) == "Be kind."
    assert ruling.notices == {"No.", "flagged", "Be kind."}
