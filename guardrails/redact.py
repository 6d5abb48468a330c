"""Cuts what the policy named out of a body, and leaves a placeholder that says what it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from guardrails.types import Action, Reason, Segment, Stage
from guardrails.wire.pointers import Pointer, found_at, replaced


def redacted(body: Any, segments: Sequence[Segment], reasons: Sequence[Reason], side: Stage) -> Any:
    """The body without the spans that redacting rules found; the same object if there are none.

    A rule that scored a whole text and knows no span takes the whole text out.
    """
    spans: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for reason in reasons:
        if reason.action is Action.REDACT and not reason.shadow and reason.side is side:
            segment = segments[reason.segment or 0]
            start = 0 if reason.start is None else reason.start
            end = len(segment.text) if reason.end is None else reason.end
            spans[reason.segment or 0].append((start, end, reason.label))
    texts: dict[Pointer, Any] = {
        segments[number].pointer: _like(
            found_at(body, segments[number].pointer), without(segments[number].text, found)
        )
        for number, found in spans.items()
    }
    return replaced(body, texts) if texts else body


def without(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The text with each span exchanged for `[label]`; overlapping spans become one."""
    pieces: list[str] = []
    position = 0
    for start, end, label in sorted(spans):
        if start >= position:
            pieces += text[position:start], f"[{label}]"
        position = max(position, end)
    return "".join(pieces) + text[position:]


def _like(before: Any, text: str) -> Any:
    """The text, as an object again where it was the JSON of one (a tool's input, a schema)."""
    if isinstance(before, str):
        return text
    try:
        changed = orjson.loads(text)
    except orjson.JSONDecodeError:
        # The span went over the JSON's own marks: nothing of it can be kept.
        changed = None
    return changed if isinstance(changed, type(before)) else type(before)()
