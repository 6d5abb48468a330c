"""Collects the texts of a body as segments, and names what is not text."""

from __future__ import annotations

from typing import Any

import orjson

from guardrails.types import Segment, Stage
from guardrails.wire.pointers import Pointer, shown

TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


class Texts:
    """Gathers segments in the body's order; `uncovered` names the parts that no detector reads."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.uncovered: list[str] = []

    def add(self, stage: Stage, role: str, index: int, pointer: Pointer, text: Any) -> None:
        """A string becomes a segment; None and the empty string are nothing to check."""
        if isinstance(text, str) and text:
            self.segments.append(Segment(stage, role, index, pointer, text))

    def add_json(self, stage: Stage, role: str, index: int, pointer: Pointer, value: Any) -> None:
        """An object is read as the JSON that the model sees, its keys with its values."""
        if isinstance(value, str):
            self.add(stage, role, index, pointer, value)
        elif value:
            self.add(stage, role, index, pointer, orjson.dumps(value).decode())

    def skip(self, pointer: Pointer, kind: str) -> None:
        """Note something that no detector reads."""
        self.uncovered.append(f"{shown(pointer)}: {kind}")

    def add_content(self, stage: Stage, role: str, index: int, at: Pointer, content: Any) -> None:
        """A content field: a string, or a list of typed parts."""
        if not isinstance(content, list):
            self.add(stage, role, index, at, content)
            return
        for number, part in enumerate(content):
            kind = part.get("type")
            field = TEXT_PARTS.get(kind)
            if field is not None:
                self.add(stage, role, index, (*at, number, field), part.get(field))
            else:
                self.skip((*at, number), str(kind))

    def add_calls(self, index: int, at: Pointer, message: dict[str, Any]) -> None:
        """The names and arguments of the tools that a message calls, legacy form included."""
        for number, call in enumerate(message.get("tool_calls") or ()):
            for kind in ("function", "custom"):
                self._add_call(index, (*at, "tool_calls", number, kind), call.get(kind))
        self._add_call(index, (*at, "function_call"), message.get("function_call"))

    def _add_call(self, index: int, at: Pointer, function: Any) -> None:
        if isinstance(function, dict):
            for field in ("name", "arguments", "input"):
                text = function.get(field)
                self.add(Stage.TOOL_CALL, "assistant", index, (*at, field), text)

    def done(self) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
        """Segments and uncovered parts."""
        return tuple(self.segments), tuple(self.uncovered)
