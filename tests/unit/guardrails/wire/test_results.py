"""Verdicts as Azure tells them."""

from guardrails.types import Action, Failure, Stage, Verdict
from guardrails.wire import results
from tests.factories import make_exchange, make_reason


def exchange_with(*reasons):
    return make_exchange(verdict=Verdict(Action.FLAG, reasons))


def test_shadow_rules_are_not_told():
    exchange = exchange_with(make_reason(shadow=True))
    assert results.side_results(exchange, Stage.INPUT) == {}
    assert results.categories(exchange.verdict.reasons) == []
    assert results.with_results(exchange, exchange.completion) is exchange.completion


def test_a_check_that_could_not_run_is_an_error_never_a_clean_category():
    exchange = exchange_with(make_reason(action=Action.ALLOW, error="late", score=None))
    assert results.side_results(exchange, Stage.INPUT) == {
        "error": {"code": "content_filter_error", "message": "The contents are not filtered"}
    }


def test_what_was_found_is_told_with_the_side_it_was_found_on():
    exchange = exchange_with(
        make_reason(action=Action.FLAG), make_reason(action=Action.REDACT, side=Stage.OUTPUT)
    )
    answer = results.with_results(exchange, exchange.completion)
    found = answer["prompt_filter_results"][0]["content_filter_results"]["insult"]
    assert found == {"filtered": False, "detected": True, "redacted": False}
    assert answer["choices"][0]["content_filter_results"]["insult"]["redacted"]
    assert "content_filter_results" not in exchange.completion["choices"][0]


def test_what_a_rule_only_advises_is_told_beside_what_was_found():
    exchange = exchange_with(make_reason(action=Action.FLAG, advised=Action.BLOCK))
    assert results.side_results(exchange, Stage.INPUT)["insult"] == {
        "filtered": False,
        "detected": True,
        "redacted": False,
        "advised": "block",
    }


def test_a_failure_is_openais_envelope():
    failure = Failure("model_not_found", "No such model.", 404, "invalid_request_error", "model")
    assert results.error_body(failure) == {
        "error": {
            "message": "No such model.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
