"""Whose words does an item of OpenAI's Responses hold?"""

from __future__ import annotations

from typing import Any

from guardrails.types import Stage
from guardrails.wire import fields
from guardrails.wire.pointers import Pointer
from guardrails.wire.texts import Texts

_ROLES = frozenset({"system", "developer", "user", "assistant"})
# What a tool that the upstream runs gave back stands in the same item as its call.
_GIVEN_BACK = frozenset({"results", "outputs", "output", "result", "error"})
_DEFINING = frozenset({"mcp_list_tools", "additional_tools", "tool_search_output"})


def add_item(
    texts: Texts, index: int, at: Pointer, item: dict[str, Any], *, given: bool = False
) -> None:
    """Take in one item of an input, or of an answer (`given`: then all but calls is output)."""
    kind = item.get("type") or "message"
    stage, role = (Stage.OUTPUT, "assistant") if given else (Stage.INPUT, "user")
    result = Stage.OUTPUT if given else Stage.TOOL_RESULT
    if kind == "message":
        # A made-up role is nobody's privilege: it is held to what a user is held to.
        role = item["role"] if item.get("role") in _ROLES else role
    elif kind == "reasoning":
        role = "reasoning"
    elif kind in _DEFINING:
        role = "tool_definition"
    elif kind == "item_reference":
        texts.skip(at, kind)
        return
    elif kind.endswith("_output"):
        stage, role = result, "tool"
    elif kind.endswith(("_call", "_request")) or kind == "program":
        stage, role = Stage.TOOL_CALL, "assistant"
        back = {field: value for field, value in item.items() if field in _GIVEN_BACK}
        if kind == "image_generation_call" and back.pop("result", None):
            texts.skip((*at, "result"), "image")
        fields.read(texts, result, "tool", index, at, back)
        item = {field: value for field, value in item.items() if field not in _GIVEN_BACK}
    fields.read(texts, stage, role, index, at, item)


def said(item: dict[str, Any]) -> str | None:
    """What an assistant's message says, if the item is one."""
    if item.get("type") not in (None, "message") or item.get("role") != "assistant":
        return None
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = [part.get("text") or part.get("refusal") for part in content or ()]
    return "\n".join(part for part in parts if isinstance(part, str))
