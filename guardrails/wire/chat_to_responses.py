"""How is a chat completion said back as one of OpenAI's Responses?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guardrails.errors import UpstreamError
from guardrails.types import Exchange

_ECHOED: dict[str, Any] = {
    "instructions": None, "previous_response_id": None, "metadata": {}, "parallel_tool_calls": True,
    "temperature": None, "tool_choice": "auto", "tools": [], "top_p": None,
}  # fmt: skip
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# What the parts of each kind of item stream as: the part's type, its field, its events' name.
_PARTS = {
    "reasoning": ("reasoning_text", "text", "response.reasoning_text"),
    "content": ("output_text", "text", "response.output_text"),
    "refusal": ("refusal", "refusal", "response.refusal"),
}


def head(exchange: Exchange, given_id: Any = None) -> dict[str, Any]:
    """A response that has not ended, with what it repeats of its request."""
    return {
        "id": given_id or f"resp_{exchange.id}",
        "object": "response",
        "created_at": int(exchange.started_at.timestamp()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": exchange.model,
        "output": [],
        **{field: exchange.request.get(field, usual) for field, usual in _ECHOED.items()},
        "usage": None,
    }


def usage(counted: dict[str, Any]) -> dict[str, Any]:
    """A chat's usage in Responses' words."""
    read, written = counted.get("prompt_tokens") or 0, counted.get("completion_tokens") or 0
    cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (counted.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written,
    }


def response(completion: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """The response that a completion stands for."""
    events = ResponseEvents(exchange)
    choice = completion["choices"][0]
    message = choice.get("message") or {}
    calls = [{**call, "index": n} for n, call in enumerate(message.get("tool_calls") or ())]
    chunk = {**choice, "delta": {**message, "tool_calls": calls}}
    for _ in events.add({**completion, "choices": [chunk]}):
        pass
    *_, last = events.end()
    whole: dict[str, Any] = last["response"]
    return whole


class ResponseEvents:
    """A chat's stream as a response's: one item at a time, opened and closed."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._head: dict[str, Any] = {}
        self._number = -1
        self._items: list[dict[str, Any]] = []
        self._open: tuple[str, int] | None = None
        self._pieces: list[str] = []
        self._calls: set[int] = set()
        self._reason: str | None = None
        self._counted: dict[str, Any] = {}

    def add(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events that one chunk makes. Errors: UpstreamError for tool calls that mingle."""
        if not self._head:
            given = event.get("id")
            self._head = head(self._exchange, f"resp_{given}" if given else None)
            yield self._event("response.created", response=self._head)
            yield self._event("response.in_progress", response=self._head)
        self._counted = event.get("usage") or self._counted
        for choice in event.get("choices") or ():
            if choice.get("index", 0) == 0:
                yield from self._said(choice.get("delta") or {})
                self._reason = choice.get("finish_reason") or self._reason

    def end(self) -> Iterator[dict[str, Any]]:
        """The end of the response; nothing if the stream broke off before any finish reason."""
        if self._reason is None:
            return
        yield from self._close()
        why = _INCOMPLETE.get(self._reason)
        status = "incomplete" if why else "completed"
        answer = {
            **self._head,
            "status": status,
            "incomplete_details": {"reason": why} if why else None,
            "output": self._items,
            "usage": usage(self._counted),
        }
        yield self._event(f"response.{status}", response=answer)

    def _said(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        for kind, said in (
            ("reasoning", thought),
            ("content", delta.get("content")),
            ("refusal", delta.get("refusal")),
        ):
            if isinstance(said, str) and said:
                if self._open != (kind, 0):
                    yield from self._close()
                    yield from self._begin_text(kind)
                self._pieces.append(said)
                more: dict[str, Any] = {"logprobs": []} if kind == "content" else {}
                name = _PARTS[kind][2]
                yield self._event(
                    f"{name}.delta", **self._at(), content_index=0, delta=said, **more
                )
        for place, call in enumerate(delta.get("tool_calls") or ()):
            yield from self._called(call.get("index", place), call)

    def _begin_text(self, kind: str) -> Iterator[dict[str, Any]]:
        self._open = (kind, 0)
        item: dict[str, Any] = {"id": self._item_id("msg"), "type": "message", "role": "assistant"}
        if kind == "reasoning":
            item = {"id": self._item_id("rs"), "type": "reasoning", "summary": []}
        yield from self._begin({**item, "status": "in_progress", "content": []})
        part = self._part(kind, "")
        yield self._event("response.content_part.added", **self._at(), content_index=0, part=part)

    def _called(self, number: int, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
        function = call.get("function") or {}
        if self._open != ("call", number):
            if number in self._calls:
                raise UpstreamError("The upstream's tool calls mingle; they cannot be passed on.")
            yield from self._close()
            self._calls.add(number)
            self._open = ("call", number)
            item = {"id": self._item_id("fc"), "type": "function_call", "status": "in_progress"}
            told = {"call_id": call.get("id"), "name": function.get("name"), "arguments": ""}
            yield from self._begin({**item, **told})
        if function.get("arguments"):
            self._pieces.append(function["arguments"])
            name = "response.function_call_arguments.delta"
            yield self._event(name, **self._at(), delta=function["arguments"])

    def _begin(self, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self._items.append(item)
        self._pieces = []
        added = {"output_index": len(self._items) - 1, "item": item}
        yield self._event("response.output_item.added", **added)

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open is None:
            return
        (kind, _), said = self._open, "".join(self._pieces)
        self._open = None
        item = {**self._items[-1], "status": "completed"}
        if kind == "call":
            item["arguments"] = said
            told = {"arguments": said, "name": item["name"]}
            yield self._event("response.function_call_arguments.done", **self._at(), **told)
        else:
            part = self._part(kind, said)
            item["content"] = [part]
            _, field, name = _PARTS[kind]
            told = {field: said, **({"logprobs": []} if kind == "content" else {})}
            yield self._event(f"{name}.done", **self._at(), content_index=0, **told)
            at = {**self._at(), "content_index": 0}
            yield self._event("response.content_part.done", **at, part=part)
        self._items[-1] = item
        done = {"output_index": len(self._items) - 1, "item": item}
        yield self._event("response.output_item.done", **done)

    def _part(self, kind: str, text: str) -> dict[str, Any]:
        type_, field, _ = _PARTS[kind]
        part: dict[str, Any] = {"type": type_, field: text}
        return {**part, "annotations": [], "logprobs": []} if kind == "content" else part

    def _at(self) -> dict[str, Any]:
        return {"output_index": len(self._items) - 1, "item_id": self._items[-1]["id"]}

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{self._exchange.id}_{len(self._items)}"

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, **fields, "sequence_number": self._number}
