"""Cuts what the policy named out of a body, and leaves a placeholder that says what it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from guardrails.types import Action, Reason, Segment, Stage
from guardrails.vault import Vault
from guardrails.wire.pointers import Pointer, found_at, like, replaced, without_logprobs


def redacted(
    body: Any,
    segments: Sequence[Segment],
    reasons: Sequence[Reason],
    side: Stage,
    vault: Vault | None = None,
    restoring: Collection[str] = (),
) -> Any:
    """The body without the spans that redacting rules found; the same object if there are none.

    A rule that scored a whole text and knows no span takes the whole text out. What a rule among
    `restoring` takes out goes into the vault, to come back in the answer.
    """
    spans: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for reason in reasons:
        if reason.action is Action.REDACT and not reason.shadow and reason.side is side:
            segment = segments[reason.segment or 0]
            start = 0 if reason.start is None else reason.start
            end = len(segment.text) if reason.end is None else reason.end
            shown = f"[{reason.label}]"
            if vault is not None and reason.rule in restoring:
                shown = vault.hide(reason.label, segment.text[start:end])
            spans[reason.segment or 0].append((start, end, shown))
    texts: dict[Pointer, Any] = {
        segments[number].pointer: like(
            found_at(body, segments[number].pointer), exchanged(segments[number].text, found)
        )
        for number, found in spans.items()
    }
    if not texts:
        return body
    body = replaced(body, texts)
    return without_logprobs(body, texts) if side is Stage.OUTPUT else body


def without(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The text with each span exchanged for `[label]`; overlapping spans become one."""
    return exchanged(text, [(start, end, f"[{label}]") for start, end, label in spans])


def exchanged(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The text with something else in each span's place; overlapping spans become one."""
    pieces: list[str] = []
    position = 0
    for start, end, shown in sorted(spans):
        if start >= position:
            pieces += text[position:start], shown
        position = max(position, end)
    return "".join(pieces) + text[position:]
