"""What was taken out of a request before the model saw it, to be put back into its own answer.

A vault belongs to one exchange and goes with it: it is never recorded, never shared. The model and
the log see `[personal_data_1]`; only the caller, who sent it, sees the value again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from guardrails.types import Segment, Stage
from guardrails.wire.pointers import Pointer, found_at, like, replaced

# What may still become a placeholder, at the end of a text that grows.
_BEGUN = re.compile(r"\[[a-z0-9_.-]{0,80}\Z")


class Vault:
    """The hidden values of one exchange by their placeholders."""

    def __init__(self) -> None:
        self._placeholders: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._any: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        return bool(self._values)

    def hide(self, label: str, value: str) -> str:
        """The placeholder for a value; the same value has the same one throughout."""
        known = self._placeholders.get((label, value))
        if known is not None:
            return known
        placeholder = f"[{label}_{len(self._values) + 1}]"
        self._placeholders[label, value] = placeholder
        self._values[placeholder] = value
        self._any = re.compile("|".join(map(re.escape, self._values)))
        return placeholder

    def found(self, text: str, *, as_json: bool) -> Iterator[tuple[int, int, str]]:
        """Each placeholder in a text, with what belongs there; escaped within a JSON string."""
        if self._any is not None:
            for match in self._any.finditer(text):
                value = self._values[match[0]]
                if as_json:
                    value = orjson.dumps(value).decode()[1:-1]
                yield match.start(), match.end(), value

    def live_from(self, text: str) -> int:
        """From where on the end of a text may still become a placeholder."""
        match = _BEGUN.search(text) if self else None
        return len(text) if match is None else match.start()

    def restored(self, body: Any, segments: tuple[Segment, ...]) -> Any:
        """A body with the values back in its texts; the same object if there are none."""
        if not self:
            return body
        texts: dict[Pointer, Any] = {}
        for segment in segments:
            before = found_at(body, segment.pointer)
            text = self._restored(segment.text, as_json=holds_json(segment, before))
            if text != segment.text:
                texts[segment.pointer] = like(before, text)
        return replaced(body, texts) if texts else body

    def _restored(self, text: str, *, as_json: bool) -> str:
        pieces: list[str] = []
        position = 0
        for start, end, value in self.found(text, as_json=as_json):
            pieces += text[position:start], value
            position = end
        return "".join(pieces) + text[position:]


def holds_json(segment: Segment, value: Any = "") -> bool:
    """Whether a text is JSON, in which a value must be escaped: a tool's arguments, an object."""
    return (segment.stage is Stage.TOOL_CALL and segment.pointer[-1] != "name") or not isinstance(
        value, str
    )
