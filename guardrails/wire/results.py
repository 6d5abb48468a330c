"""How a verdict is told on the wire: Azure's content-filter results and OpenAI's error envelope."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guardrails.types import Action, Exchange, Failure, Reason, Stage, strictest


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
        if reason.advised is not None:
            result["advised"] = strictest((reason.advised, Action(result.get("advised", "allow"))))
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


def with_choices_withheld(
    exchange: Exchange, kind: str, prefix: str, count: int, withheld: dict[str, Any]
) -> dict[str, Any]:
    """The answer of a withheld exchange in OpenAI's shape: `withheld` in place of each choice.

    A blocked request gets `count` such choices, of an answer of its `kind`. In a blocked answer
    only the choices at fault are exchanged; the others stand as the model gave them.
    """
    if exchange.completion is None:
        answer: dict[str, Any] = {
            "id": f"{prefix}-{exchange.id}",
            "object": kind,
            "created": int(exchange.started_at.timestamp()),
            "model": exchange.model,
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }
        given: list[dict[str, Any]] = [{"index": index} for index in range(count)]
        at_fault = set(range(count))
    else:
        answer, given = exchange.completion, exchange.completion["choices"]
        at_fault = choices_at_fault(
            exchange, (choice.get("index", number) for number, choice in enumerate(given))
        )
    instead = {
        **withheld,
        "logprobs": None,
        "finish_reason": "content_filter",
        "content_filter_results": side_results(exchange, Stage.OUTPUT),
    }
    choices = [
        {"index": index, **instead} if index in at_fault else choice
        for number, choice in enumerate(given)
        for index in (choice.get("index", number),)
    ]
    return {
        **answer,
        "choices": choices,
        "prompt_filter_results": prompt_results(exchange),
        "guardrail": guardrail(exchange),
    }


def both_sides(exchange: Exchange) -> dict[str, Any]:
    """The results of request and answer, for protocols that have no choices to hang them on."""
    return {
        "prompt_filter_results": prompt_results(exchange),
        "content_filter_results": side_results(exchange, Stage.OUTPUT),
    }


def with_guardrail(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without choices with what was found; the same object where no rule fired."""
    if all(reason.shadow for reason in exchange.verdict.reasons):
        return answer
    found = {"decision": exchange.verdict.action.value, **both_sides(exchange)}
    return {**answer, "guardrail": found}


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
