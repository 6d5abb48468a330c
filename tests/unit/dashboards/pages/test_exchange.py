from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from dashboards.highlight import Run
from dashboards.measured import MAX_SCORES
from dashboards.pages.exchange import MAX_TURNS, Cited, Fact, Page, view
from dashboards.policies import parse
from guardrails.exchange_log.query import ExchangeDetail, ExchangeRow
from guardrails.types import (
    Action,
    Check,
    Citation,
    Detection,
    Exchange,
    Failure,
    Passage,
    Segment,
    Stage,
    Verdict,
)
from tests.factories import make_blocked, make_check, make_exchange, make_reason

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
POLICY = parse(
    """
    name: default
    rules:
      - {id: no-insults, detector: toxicity, label: insult, stage: [input], threshold: 0.8,
         action: block, on_error: block}
      - {id: mild, detector: toxicity, label: insult, stage: [input], threshold: 0.5,
         action: flag, on_error: flag, routes: [other]}
    """
)


def recorded(exchange: Exchange) -> ExchangeDetail:
    """What the log gives back of an exchange."""
    data: dict[str, Any] = msgspec.to_builtins(exchange)
    failure = data["failure"] or {}
    row = ExchangeRow(
        id=UUID(exchange.id),
        started_at=exchange.started_at,
        protocol=exchange.protocol,
        route=exchange.route,
        tenant=exchange.caller.tenant,
        key_id=exchange.caller.key_id,
        model=exchange.model,
        response_model=None,
        stream=exchange.stream,
        decision=exchange.verdict.action.value,
        rules=(),
        failure_code=failure.get("code"),
        failure_status=failure.get("status"),
        abandoned=exchange.abandoned,
        policy_version=exchange.policy_version,
        upstream=exchange.upstream,
        input_tokens=exchange.usage.input_tokens,
        output_tokens=exchange.usage.output_tokens,
        duration_seconds=exchange.seconds.get("total"),
        excerpt="",
    )
    names = ("request", "prompt", "completion", "answer", "inputs", "outputs", "passages",
             "citations", "checks", "template_hash", "upstream_model", "attempts",
             "source_id")  # fmt: skip
    return ExchangeDetail(
        row=row,
        recorded_at=NOW,
        operation="chat",
        finish_reasons=("stop",),
        failure_message=failure.get("message"),
        # Postgres' jsonb keeps keys by length, not in their order.
        seconds=dict(sorted(exchange.seconds.items(), key=lambda item: (len(item[0]), item[0]))),
        reasons=data["verdict"]["reasons"],
        uncovered=list(exchange.uncovered),
        bytes=1,
        **{name: data[name] for name in names},
    )


def page(exchange: Exchange, policy=POLICY) -> Page:
    return view(recorded(exchange), policy)


def test_allowed_exchange_shows_both_sides_and_that_nothing_was_changed():
    shown = page(make_exchange("Hello?", "Hi."))
    assert (shown.kind, shown.headline) == ("allow", "Allowed")
    assert shown.lead == "No rule of the policy fired."
    assert [(t.role, t.runs) for t in shown.came_in.shown] == [("user", (Run("Hello?"),))]
    assert [(t.role, t.runs) for t in shown.answered.shown] == [("assistant", (Run("Hi."),))]
    assert shown.saw_the_same
    assert shown.got is None


def test_an_audits_exchange_says_whose_prompt_it_asks():
    users = make_exchange()
    asked = page(make_exchange(source_id=users.id))
    assert asked.facts[-1] == Fact("Asks again what was asked in", users.id, wide=True)
    assert page(users).facts[-1].name == "Tokens"


def test_blocked_input_says_which_rule_and_score_and_that_no_model_was_called():
    shown = page(make_blocked())
    assert (shown.kind, shown.headline) == ("block", "Blocked before the model")
    assert shown.lead == (
        "The rule no-insults fired: toxicity / insult scored 0.93 on the input, at or above 0.80."
    )
    assert (shown.saw, shown.answered) == (None, None)


@pytest.mark.parametrize(
    ("exchange", "headline"),
    [
        (make_exchange(verdict=Verdict(Action.BLOCK)), "Answer withheld"),
        (make_exchange(verdict=Verdict(Action.REDACT)), "Passed on, redacted"),
        (make_exchange(verdict=Verdict(Action.FLAG)), "Passed on, flagged"),
        (make_exchange(failure=Failure("x_error", "It broke.", 502)), "Failed: x_error"),
    ],
)
def test_headlines(exchange, headline):
    assert page(exchange).headline == headline


def test_lead_names_the_strictest_rule_that_is_in_force():
    reasons = (
        make_reason(rule="a", action=Action.FLAG),
        make_reason(rule="b", action=Action.BLOCK, shadow=True),
    )
    shown = page(make_exchange(verdict=Verdict(Action.FLAG, reasons)))
    assert shown.lead.startswith("The rule a fired")
    assert [why.shadow for why in shown.why] == [False, True]


def test_check_that_could_not_run_is_never_shown_as_clean():
    check = make_check(detections=(), error="deadline")
    reason = make_reason(score=None, error="deadline", segment=None)
    shown = page(make_blocked(checks=(check,), verdict=Verdict(Action.BLOCK, (reason,))))
    assert shown.checks[0].error == "deadline"
    assert "could not be checked" in shown.lead
    assert shown.why[0].error == "deadline"


def test_without_any_check_the_page_says_so():
    assert page(make_exchange(checks=())).lead.startswith("No check ran")


def test_abandoned_exchange_says_that_the_caller_left():
    assert page(make_exchange(abandoned=True)).lead.endswith("The caller left before the end.")


def test_scores_stand_beside_the_threshold_of_the_rule_that_looks_at_that_text():
    insult = Detection("insult", 0.6)
    other = Detection("threat", 0.7)
    check = Check("toxicity", "1", Stage.INPUT, detections=(insult, other))
    output = Check("toxicity", "1", Stage.OUTPUT, detections=(insult,))
    shown = page(make_exchange(checks=(check, output)))
    assert [(s.label, s.threshold, s.rule) for s in shown.checks[0].scores] == [
        ("threat", None, None),
        ("insult", 0.8, "no-insults"),
    ]
    assert shown.checks[1].scores[0].threshold is None
    elsewhere = page(make_exchange(checks=(check,), route="other"))
    assert elsewhere.checks[0].scores[1].threshold == 0.5


def test_without_the_policy_s_text_no_threshold_is_claimed():
    shown = page(make_exchange(), policy=None)
    assert not shown.policy_known
    assert all(score.threshold is None for check in shown.checks for score in check.scores)


def test_finds_are_marked_and_harmless_windows_are_not():
    question = "You fool, call me at 555."
    found = Detection("phone", 1.0, 0, 21, 24, "phone-number")
    window = Detection("insult", 0.3, 0, 0, 9)
    patterns = Check("patterns", "1", Stage.INPUT, detections=(found,))
    checks = (patterns, make_check(detections=(window,)))
    harmless = page(make_exchange(question, checks=checks))
    assert harmless.came_in.shown[0].runs == (
        Run("You fool, call me at "),
        Run("555", ("phone",)),
        Run("."),
    )
    raised = msgspec.structs.replace(window, score=0.9)
    fired = page(make_exchange(question, checks=(make_check(detections=(raised,)),)))
    assert fired.came_in.shown[0].runs[0] == Run("You fool,", ("insult",))


def test_what_the_caller_got_is_shown_where_it_differs():
    answer = {"choices": [{"message": {"role": "assistant", "content": "[removed]"}}]}
    shown = page(make_exchange(answer=answer))
    assert shown.got.shown[0].runs == (Run("[removed]"),)


def test_steps_are_in_their_order_with_what_no_step_took():
    seconds = {"model": 0.5, "check_output": 0.1, "check_input": 0.2, "later": 0.1, "total": 1.0}
    steps = page(make_exchange(seconds=seconds)).steps
    assert [step.name for step in steps] == [
        "check_input", "model", "check_output", "later", "everything else",
    ]  # fmt: skip
    assert [round(step.x) for step in steps] == [0, 20, 70, 80, 90]


def test_failure_versions_and_gaps_are_listed():
    failure = Failure("upstream_timeout", "No answer in time.", 504)
    shown = page(make_exchange(failure=failure, uncovered=("messages[0].content[1]: image",)))
    assert shown.failure == (
        Fact("Code", "upstream_timeout"),
        Fact("Status", "504"),
        Fact("Message", "No answer in time.", wide=True),
    )
    assert shown.uncovered == ("messages[0].content[1]: image",)
    assert Fact("Policy", "default@0123456789ab") in shown.versions
    assert Fact("Upstream model", "demo@1") in shown.versions


def test_sentences_are_quoted_with_the_passage_that_carries_them():
    reply = "Oak is hard. Pigs fly."
    shown = page(
        make_exchange(
            "?",
            reply,
            passages=(Passage(1, "p", "d", "Wood", "wood.md", "Oak is hard.", 0.8),),
            citations=(Citation(0, 0, 12, 0.9, 1), Citation(0, 13, 22, 0.1)),
        )
    )
    assert shown.cited == (Cited("Oak is hard.", 0.9, 1), Cited("Pigs fly.", 0.1, None))
    assert shown.passages[0].turn.runs == (Run("Oak is hard."),)


def test_long_exchange_is_cut_and_says_so():
    turns = [Segment(Stage.INPUT, "user", n, ("messages", n), "word " * 400) for n in range(80)]
    many = tuple(Detection(f"label_{n}", 0.5) for n in range(MAX_SCORES + 7))
    shown = page(
        make_exchange(
            reply="y" * 50_000, inputs=tuple(turns), checks=(make_check(detections=many),)
        )
    )
    assert shown.answered.shown[0].left_out > 0
    assert len(shown.came_in.shown) <= MAX_TURNS
    assert shown.came_in.earlier == 80 - len(shown.came_in.shown)
    assert shown.checks[0].left_out == 7


def test_record_that_the_log_had_to_cut_is_still_shown():
    exchange = make_exchange().evolve(request={"cut": True}, inputs=(), checks=(), prompt=None)
    shown = page(exchange)
    assert shown.came_in.shown == ()
