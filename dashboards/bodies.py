"""What the texts in a request or an answer are, whatever its protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct


class Said(Struct, frozen=True):
    """One text and who says it."""

    role: str
    text: str


def texts(body: Any) -> list[Said]:
    """The texts of a body in OpenAI's or Anthropic's shape, in order; none where it has neither."""
    if not isinstance(body, dict):
        return []
    found = [*_system(body), *_messages(body), *_plain(body), *_choices(body)]
    if not found and "content" in body:
        found = [Said(str(body.get("role", "assistant")), _content(body["content"]))]
    return [said for said in found if said.text]


def _system(body: dict[str, Any]) -> Iterator[Said]:
    for name in ("system", "instructions"):
        if name in body:
            yield Said("system", _content(body[name]))


def _messages(body: dict[str, Any]) -> Iterator[Said]:
    for message in _list(body.get("messages")):
        if isinstance(message, dict):
            yield Said(str(message.get("role", "")), _message(message))


def _plain(body: dict[str, Any]) -> Iterator[Said]:
    for name in ("prompt", "input"):
        value = body.get(name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                yield Said("user", item)
            elif isinstance(item, dict):
                yield Said(str(item.get("role", "user")), _content(item.get("content")))


def _choices(body: dict[str, Any]) -> Iterator[Said]:
    for choice in _list(body.get("choices")):
        if not isinstance(choice, dict):
            continue
        message = choice.get("message")
        if isinstance(message, dict):
            yield Said(str(message.get("role", "assistant")), _message(message))
        elif isinstance(choice.get("text"), str):
            yield Said("assistant", choice["text"])


def _message(message: dict[str, Any]) -> str:
    parts = [_content(message.get("content"))]
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal != parts[0]:
        parts.append(refusal)
    parts += [_call(call) for call in _list(message.get("tool_calls"))]
    return "\n".join(part for part in parts if part)


def _call(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return json.dumps(call, ensure_ascii=False)
    return f"→ {function.get('name', '')}({function.get('arguments', '')})"


def _content(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(_part(part) for part in _list(content))


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        for name in ("text", "refusal", "thinking"):
            if isinstance(part.get(name), str):
                return part[name]
        if "content" in part:
            return _content(part["content"])
        return f"[{part.get('type', 'part')}]"
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
