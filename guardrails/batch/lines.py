"""What may stand in a line of a batch, and what is answered to it?"""

from __future__ import annotations

from typing import Any

import orjson
from msgspec import Struct

from guardrails.types import Reason, Segment, Stage, Verdict

ROLES = {Stage.INPUT: "user", Stage.OUTPUT: "assistant"}


class Line(Struct, frozen=True):
    """A line that was understood: its id, where it has one, and its texts or its request's body."""

    id: Any
    segments: tuple[Segment, ...]
    body: dict[str, Any]


class Faulty(Exception):
    """A line that cannot be used; its answer says why."""


def parse(raw: bytes, stage: Stage) -> Line:
    """A line: `text`, `prompt` or `messages`, or OpenAI's batch form with `custom_id` and `body`.

    A line may name its own `stage`. Errors: Faulty.
    """
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Faulty("not JSON") from None
    if not isinstance(row, dict):
        raise Faulty("not a JSON object")
    inner = row["body"] if isinstance(row.get("body"), dict) else row
    try:
        stage = Stage(row.get("stage", stage))
    except ValueError:
        raise Faulty("no such stage") from None
    messages = inner.get("messages")
    if messages is None:
        text = inner.get("text", inner.get("prompt"))
        if not isinstance(text, str):
            raise Faulty("it needs `text`, `prompt` or `messages`")
        messages = [{"role": ROLES.get(stage, "user"), "content": text}]
    elif not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise Faulty("`messages` must be a list of objects")
    segments = tuple(_segments(messages, stage))
    if not segments:
        raise Faulty("it holds no text")
    settings = {k: v for k, v in inner.items() if k not in ("text", "prompt", "id", "stage")}
    body = {**settings, "messages": messages}
    return Line(row.get("id", row.get("custom_id")), segments, body)


def answered(line: Line, verdict: Verdict, policy: str, errors: dict[str, str]) -> bytes:
    """What the policy decides on a line; scores of what fired, never the text."""
    found: dict[str, Any] = {} if line.id is None else {"id": line.id}
    found |= {"action": verdict.action.value, "policy": policy}
    found["reasons"] = [_reason(reason) for reason in verdict.reasons]
    if errors:
        found["errors"] = errors
    return orjson.dumps(found)


def refused(raw: bytes, why: str) -> bytes:
    """The answer to a line that could not be used, with its id where that can be read."""
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError:
        row = None
    known = row.get("id", row.get("custom_id")) if isinstance(row, dict) else None
    return orjson.dumps({**({} if known is None else {"id": known}), "error": why})


def _segments(messages: list[dict[str, Any]], stage: Stage) -> list[Segment]:
    found = []
    for number, message in enumerate(messages):
        role = message.get("role")
        role = role if isinstance(role, str) else "user"
        content = message.get("content")
        parts = [content] if isinstance(content, str) else content
        for place, part in enumerate(parts if isinstance(parts, list) else []):
            text = part if isinstance(part, str) else _text(part)
            if text is not None:
                pointer = ("messages", number, "content", place)
                found.append(Segment(stage, role, number, pointer, text))
    return found


def _text(part: Any) -> str | None:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else None


def _reason(reason: Reason) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rule": reason.rule,
        "detector": reason.detector,
        "label": reason.label,
        "action": reason.action.value,
    }
    if reason.score is not None:
        found["score"] = round(reason.score, 4)
    if reason.error is not None:
        found["error"] = reason.error
    if reason.shadow:
        found["shadow"] = True
    return found
