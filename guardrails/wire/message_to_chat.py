"""How is an Anthropic message said back as an OpenAI chat completion?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from guardrails.errors import UpstreamError
from guardrails.types import Exchange

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def completion(message: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """The completion that a message stands for. Errors: UpstreamError for a block that has none."""
    said: dict[str, list[str]] = {"text": [], "thinking": []}
    calls: list[dict[str, Any]] = []
    for block in message["content"]:
        kind = _kind(block)
        if kind == "tool_use":
            written = orjson.dumps(block.get("input") or {}).decode()
            calls.append(_call(block, written))
        elif kind is not None:
            said[kind].append(str(block.get(kind) or ""))
    told: dict[str, Any] = {"role": "assistant", "content": "".join(said["text"]) or None}
    told["refusal"] = _refusal(message)
    if any(said["thinking"]):
        told["reasoning_content"] = "".join(said["thinking"])
    if calls:
        told["tool_calls"] = calls
    choice = {"index": 0, "message": told, "logprobs": None, "finish_reason": _reason(message)}
    return {
        **_head(message, exchange, "chat.completion"),
        "choices": [choice],
        "usage": _usage(message.get("usage") or {}),
    }


class MessageEvents:
    """A message's stream as a chat's."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._calls = 0
        self._written = False
        self._block: dict[str, Any] = {}
        self._ended = False

    def add(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks that one event makes. Errors: UpstreamError for a block that has none."""
        kind = event.get("type")
        if kind == "message_start":
            self._message = event.get("message") or {}
            self._usage = self._message.get("usage") or {}
            yield self._chunk({"role": "assistant", "content": ""})
            for block in self._message.get("content") or ():
                yield from self._begin(block)
                yield from self._finish_call()
        elif kind == "content_block_start":
            yield from self._begin(event.get("content_block") or {})
        elif kind == "content_block_delta":
            yield from self._continue(event.get("delta") or {})
        elif kind == "content_block_stop":
            yield from self._finish_call()
        elif kind == "message_delta":
            self._message = {**self._message, **(event.get("delta") or {})}
            self._usage = {**self._usage, **(event.get("usage") or {})}
        elif kind == "message_stop":
            self._ended = True

    def end(self) -> Iterator[dict[str, Any]]:
        """The reason, and the usage; nothing if the stream broke off."""
        if not self._ended:
            return
        refusal = _refusal(self._message)
        chunk = self._chunk({"refusal": refusal} if refusal else {}, _reason(self._message))
        usage = _usage(self._usage)
        wanted = self._exchange.request.get("stream_options") or {}
        if not wanted.get("include_usage"):
            # The record wants it even where the caller does not.
            yield {**chunk, "usage": usage}
            return
        yield chunk
        yield {**chunk, "choices": [], "usage": usage}

    def _begin(self, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self._block = block
        kind = _kind(block)
        if kind == "tool_use":
            self._written = False
            yield self._chunk({"tool_calls": [{"index": self._calls, **_call(block, "")}]})
        elif kind == "text" and block.get("text"):
            yield self._chunk({"content": block["text"]})
        elif kind == "thinking" and block.get("thinking"):
            yield self._chunk({"reasoning_content": block["thinking"]})

    def _continue(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if delta.get("text"):
            yield self._chunk({"content": delta["text"]})
        elif delta.get("thinking"):
            yield self._chunk({"reasoning_content": delta["thinking"]})
        elif delta.get("partial_json"):
            yield self._arguments(delta["partial_json"])

    def _finish_call(self) -> Iterator[dict[str, Any]]:
        if self._block.get("type") == "tool_use":
            if not self._written:
                # What is given at once, or nothing: also that is an object.
                yield self._arguments(orjson.dumps(self._block.get("input") or {}).decode())
            self._calls += 1
        self._block = {}

    def _arguments(self, written: str) -> dict[str, Any]:
        self._written = True
        call = {"index": self._calls, "function": {"arguments": written}}
        return self._chunk({"tool_calls": [call]})

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        head = _head(self._message, self._exchange, "chat.completion.chunk")
        return {**head, "choices": [choice]}


def _kind(block: dict[str, Any]) -> str | None:
    """What a block becomes; None for thinking that nobody can read."""
    kind = block.get("type")
    if kind in ("text", "thinking", "tool_use"):
        return str(kind)
    if kind == "redacted_thinking":
        return None
    raise UpstreamError("The upstream's answer holds a block that the caller's protocol has not.")


def _call(block: dict[str, Any], written: str) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": written}
    return {"id": block.get("id"), "type": "function", "function": function}


def _head(message: dict[str, Any], exchange: Exchange, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{message.get('id') or exchange.id}",
        "object": kind,
        "created": int(exchange.started_at.timestamp()),
        "model": exchange.model,
    }


def _reason(message: dict[str, Any]) -> str:
    return _REASONS.get(str(message.get("stop_reason")), "stop")


def _refusal(message: dict[str, Any]) -> str | None:
    details = message.get("stop_details")
    told = details.get("explanation") if isinstance(details, dict) else None
    return told if isinstance(told, str) else None


def _usage(counted: dict[str, Any]) -> dict[str, Any]:
    """Chat counts what was read from a cache among the prompt's tokens."""
    cached = counted.get("cache_read_input_tokens") or 0
    read = (counted.get("input_tokens") or 0) + cached
    read += counted.get("cache_creation_input_tokens") or 0
    written = counted.get("output_tokens") or 0
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
