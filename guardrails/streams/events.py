"""One event of a stream while it is held, and how it leaves where not all of it may."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec import Struct

from guardrails.streams.lanes import Growing
from guardrails.wire.deltas import Delta
from guardrails.wire.pointers import Pointer, replaced, without_logprobs


class Event(Struct):
    """One event that is held, with the end of each piece of text in it."""

    body: dict[str, Any]
    texts: list[tuple[Growing, int, Delta]]
    size: int


def as_it_leaves(event: Event, stopped: Collection[int]) -> dict[str, Any] | None:
    """An event without what was cut out, and without the choices that were stopped."""
    body = event.body
    changes: dict[Pointer, str] = {}
    for lane, end, delta in event.texts:
        shown = lane.shown(end - len(delta.text), delta.text)
        if shown != delta.text:
            changes[delta.pointer] = shown
    if changes:
        body = without_logprobs(replaced(body, changes), changes)
    if not stopped:
        return body
    choices = body.get("choices")
    if not isinstance(choices, list):
        # A protocol without choices has one answer, and that one was stopped.
        return None
    left = [c for c in choices if c.get("index", 0) not in stopped]
    return {**body, "choices": left} if left or not choices else None


def only(event: dict[str, Any], choices: set[int]) -> dict[str, Any] | None:
    """An event with only some of its choices; events that have none are kept."""
    named = event.get("choices")
    if not isinstance(named, list) or not named:
        return event
    left = [choice for choice in named if choice.get("index", 0) in choices]
    return {**event, "choices": left} if left else None
