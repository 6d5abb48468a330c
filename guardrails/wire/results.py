"""How a verdict is told on the wire: Azure's content-filter results and OpenAI's error envelope."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guardrails.types import Action, Exchange, Failure, Reason, Stage


def categories(reasons: Iterable[Reason]) -> list[str]:
    """The labels of the rules that fired, each once, shadow rules left out."""
    return list(dict.fromkeys(r.label for r in reasons if not r.shadow and r.error is None))


def filter_results(reasons: Iterable[Reason]) -> dict[str, Any]:
    """Azure's `content_filter_results`: per category whether it was found and whether it blocked.

    A check that could not run stands as `error`, never as a category that was not found.
    """
    results: dict[str, Any] = {}
    for reason in reasons:
        if reason.shadow:
            continue
        if reason.error is not None:
            results["error"] = {
                "code": "content_filter_error",
                "message": "The contents are not filtered",
            }
            continue
        result = results.setdefault(reason.label, {"filtered": False, "detected": True})
        result["filtered"] = result["filtered"] or reason.action is Action.BLOCK
        result["redacted"] = result.get("redacted", False) or reason.action is Action.REDACT
    return results


def side_results(exchange: Exchange, side: Stage) -> dict[str, Any]:
    """The results of one side of an exchange."""
    return filter_results(reason for reason in exchange.verdict.reasons if reason.side is side)


def choices_at_fault(exchange: Exchange, choices: Iterable[int]) -> set[int]:
    """The choices that are withheld: those that a rule found, or all where the fault is elsewhere.

    The fault lies elsewhere when the request is blocked while its answer is already under way, or
    when a rule has no text to point at.
    """
    blocking = [r for r in exchange.verdict.reasons if r.action is Action.BLOCK and not r.shadow]
    found = {
        exchange.outputs[reason.segment].index
        for reason in blocking
        if reason.side is Stage.OUTPUT and reason.segment is not None
    }
    elsewhere = any(r.side is Stage.INPUT or r.segment is None for r in blocking)
    return set(choices) if elsewhere or not found else found


def guardrail(exchange: Exchange) -> dict[str, Any]:
    """What a blocked caller may know: the categories and rules, and the id to appeal with."""
    enforced = [r for r in exchange.verdict.reasons if not r.shadow and r.action is Action.BLOCK]
    return {
        "decision": exchange.verdict.action.value,
        "categories": categories(enforced),
        "rules": list(dict.fromkeys(reason.rule for reason in enforced)),
        "policy": exchange.policy_version,
        "appeal_id": exchange.id,
    }


def with_results(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with what was found in it; the same object where no rule fired."""
    if all(reason.shadow for reason in exchange.verdict.reasons):
        return answer
    found = side_results(exchange, Stage.OUTPUT)
    return {
        **answer,
        "choices": [{**choice, "content_filter_results": found} for choice in answer["choices"]],
        "prompt_filter_results": prompt_results(exchange),
    }


def prompt_results(exchange: Exchange) -> list[dict[str, Any]]:
    """Azure's `prompt_filter_results`."""
    found = side_results(exchange, Stage.INPUT)
    return [{"prompt_index": 0, "content_filter_results": found}]


def blocked_error(exchange: Exchange, message: str) -> dict[str, Any]:
    """Azure's error body for a blocked request (400), for routes that say `blocked_as: error`."""
    side = Stage.OUTPUT if exchange.completion is not None else Stage.INPUT
    return {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": side_results(exchange, side),
            },
        },
        "guardrail": guardrail(exchange),
    }


def error_body(failure: Failure) -> dict[str, Any]:
    """OpenAI's error envelope."""
    return {
        "error": {
            "message": failure.message,
            "type": failure.type,
            "param": failure.param,
            "code": failure.code,
        }
    }
