"""Whose words does a content block of an Anthropic message hold?"""

from __future__ import annotations

from typing import Any

from guardrails.types import Stage
from guardrails.wire import fields
from guardrails.wire.pointers import Pointer
from guardrails.wire.texts import Texts


def add_content(
    texts: Texts, stage: Stage, role: str, index: int, at: Pointer, content: Any
) -> None:
    """A content field: a string, a block, or a list of either."""
    if isinstance(content, str):
        texts.add(stage, role, index, at, content)
    elif isinstance(content, dict):
        add_block(texts, stage, role, index, at, content)
    elif isinstance(content, list):
        for number, block in enumerate(content):
            add_content(texts, stage, role, index, (*at, number), block)


def add_block(
    texts: Texts, stage: Stage, role: str, index: int, at: Pointer, block: dict[str, Any]
) -> None:
    """One content block: its type says whose words it holds; every field of it is read."""
    kind = str(block.get("type"))
    if kind == "text":
        texts.add(stage, role, index, (*at, "text"), block.get("text"))
        if len(block) == 2 and "text" in block:
            return
        block = {field: value for field, value in block.items() if field != "text"}
    elif kind.endswith("tool_use"):
        stage = Stage.TOOL_CALL
    elif kind.endswith("tool_result"):
        # In an answer it is what a tool of the upstream gave: output like any other.
        stage, role = (Stage.OUTPUT if stage is Stage.OUTPUT else Stage.TOOL_RESULT), "tool"
    elif kind == "thinking":
        role = "reasoning"
    for field, value in block.items():
        if field == "content":
            add_content(texts, stage, role, index, (*at, field), value)
        elif field == "source" and isinstance(value, dict):
            _add_source(texts, stage, role, index, (*at, field), value, kind)
        else:
            fields.read(texts, stage, role, index, at, {field: value})


def _add_source(
    texts: Texts,
    stage: Stage,
    role: str,
    index: int,
    at: Pointer,
    source: dict[str, Any],
    kind: str,
) -> None:
    if source.get("type") == "text":
        texts.add(stage, role, index, (*at, "data"), source.get("data"))
    elif source.get("type") == "content":
        add_content(texts, stage, role, index, (*at, "content"), source.get("content"))
    else:
        texts.skip(at[:-1], kind)
