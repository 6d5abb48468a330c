"""OpenAI moderations: `/v1/moderations`, answered by our own detectors; no upstream is asked.

OpenAI's category names stand beside our labels. A category that no detector measures is null, for
"not measured" is not "not found".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from guardrails.errors import BadRequest
from guardrails.types import Exchange, Segment, Stage
from guardrails.wire.chat import failed as failed
from guardrails.wire.completions import add_prompt, check_prompt
from guardrails.wire.texts import TEXT_PARTS, Texts

PROTOCOL = "moderations"
PATH = "/moderations"
DEFAULT_MODEL = "banister-moderation"

# OpenAI's category → the label that measures the same; None where we have none.
_OPENAI: dict[str, str | None] = {
    "harassment": "insult",
    "harassment/threatening": "threat",
    "hate": "identity_attack",
    "hate/threatening": None,
    "illicit": "harmful_request",
    "illicit/violent": None,
    "self-harm": None,
    "self-harm/instructions": None,
    "self-harm/intent": None,
    "sexual": "obscene",
    "sexual/minors": None,
    "violence": None,
    "violence/graphic": None,
}


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """`input` is a string, an array of strings, or an array of typed parts."""
    parts = body.get("input")
    if isinstance(parts, list) and parts and all(isinstance(part, dict) for part in parts):
        return
    check_prompt(body, "input", most_messages)
    if isinstance(parts, list) and not all(isinstance(part, str) for part in parts):
        raise BadRequest("`input` must be text; tokens cannot be read.", param="input")


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The texts to moderate; of an array of parts, the text parts."""
    texts = Texts()
    parts = body["input"]
    if isinstance(parts, list) and isinstance(parts[0], dict):
        for number, part in enumerate(parts):
            field = TEXT_PARTS.get(part.get("type", ""))
            if field is None:
                texts.skip(("input", number), str(part.get("type")))
            else:
                where = ("input", number, field)
                texts.add(Stage.INPUT, "user", number, where, part.get(field))
    else:
        add_prompt(texts, body, "input")
    return texts.done()


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """There are no turns."""
    return body


def answer(exchange: Exchange, each: Sequence[Exchange]) -> dict[str, Any]:
    """One result a text, from exchanges that were checked one by one."""
    return {
        "id": f"modr-{exchange.id}",
        "model": exchange.model,
        "results": [_result(one) for one in each],
    }


def _result(exchange: Exchange) -> dict[str, Any]:
    scores = _scores(exchange)
    found = {reason.label for reason in exchange.verdict.reasons if not reason.shadow}
    failed = [check.detector for check in exchange.checks if check.error is not None]
    categories: dict[str, bool | None] = {label: label in found for label in scores}
    category_scores: dict[str, float | None] = dict(scores)
    for name, label in _OPENAI.items():
        measured = label in scores
        categories[name] = label in found if measured else None
        category_scores[name] = scores[label] if label is not None and measured else None
    result = {
        "flagged": bool(found),
        "categories": categories,
        "category_scores": category_scores,
        "category_applied_input_types": {name: ["text"] for name in categories},
    }
    return {**result, "error": {"detectors": failed}} if failed else result


def _scores(exchange: Exchange) -> dict[str, float]:
    """The highest score of each label; where a cascade measured it, what the cascade settled on.

    Its first tier's doubt stands beside it, and may be higher. What a rule fired on counts always.
    """
    scores: dict[str, float] = {}
    settled: dict[str, float] = {}
    cascades = {check.detector.split("/")[0] for check in exchange.checks if "/" in check.detector}
    for check in exchange.checks:
        into = settled if check.detector in cascades else scores
        for detection in check.detections:
            into[detection.label] = max(detection.score, into.get(detection.label, 0.0))
    scores |= settled
    for reason in exchange.verdict.reasons:
        if not reason.shadow and reason.score is not None:
            scores[reason.label] = max(reason.score, scores.get(reason.label, 0.0))
    return scores
