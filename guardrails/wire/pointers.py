"""How a text inside a JSON body is found and exchanged without touching the original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

Pointer = tuple[str | int, ...]


def replaced(body: Any, texts: Mapping[Pointer, Any]) -> Any:
    """A copy of `body` with some values exchanged; what is not on their way is shared."""
    for pointer, value in texts.items():
        body = _replaced(body, pointer, value)
    return body


def found_at(body: Any, pointer: Pointer) -> Any:
    """What a pointer leads to."""
    for step in pointer:
        body = body[step]
    return body


def without_logprobs(body: Any, changed: Iterable[Pointer]) -> Any:
    """The body without the log probabilities of changed texts: they spell the tokens out."""
    spelled: dict[Pointer, Any] = {}
    for pointer in changed:
        node = body
        for depth, step in enumerate(pointer):
            if isinstance(node, dict) and node.get("logprobs"):
                empty: Any = [] if isinstance(node["logprobs"], list) else None
                spelled[(*pointer[:depth], "logprobs")] = empty
            node = node[step]
    return replaced(body, spelled)


def _replaced(node: Any, pointer: Pointer, value: Any) -> Any:
    if not pointer:
        return value
    head, rest = pointer[0], pointer[1:]
    copy = node.copy()
    copy[head] = _replaced(node[head], rest, value)
    return copy


def shown(pointer: Iterable[str | int]) -> str:
    """As a person writes it: `messages[2].content[0].text`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in pointer)
    return path.removeprefix(".")


def like(before: Any, text: str) -> Any:
    """A text in the form of what it stands for: an object again where it was the JSON of one."""
    if isinstance(before, str):
        return text
    try:
        changed = orjson.loads(text)
    except orjson.JSONDecodeError:
        # The span went over the JSON's own marks: nothing of it can be kept.
        changed = None
    return changed if isinstance(changed, type(before)) else type(before)()
