"""How does a chat completion stream: fold, unfold, find its texts?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from guardrails.types import Stage
from guardrails.wire import fields, sse
from guardrails.wire.deltas import Delta, Lane
from guardrails.wire.pointers import Pointer

_FIXED_DELTAS = frozenset({"role", "type", "id", "object", "index"})
REASONING = frozenset({"reasoning", "reasoning_content", "reasoning_details"})

END = sse.DONE_EVENT


def frame(event: dict[str, Any]) -> bytes:
    """An event as bytes on the wire."""
    return sse.event(orjson.dumps(event))


class Fold:
    """Puts a stream's chunks together to the answer that would have come unstreamed.

    Cost: linear in the answer: pieces are kept in lists and joined once.
    """

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    @property
    def ended(self) -> bool:
        """Whether a choice has come to its end, so that this is more than a stump."""
        return any(choice.get("finish_reason") for choice in self._choices.values())

    def add(self, chunk: dict[str, Any]) -> None:
        """Take in one chunk; unknown fields are kept, the last one wins."""
        for field, value in chunk.items():
            if field != "choices" and (value is not None or field not in self._answer):
                self._answer[field] = value
        for choice in chunk.get("choices") or ():
            index = choice.get("index", 0)
            kept = self._choices.setdefault(index, {"index": index, "message": {}})
            for field, value in choice.items():
                if field == "delta":
                    _merge(kept["message"], value or {})
                elif field == "logprobs" and isinstance(value, dict):
                    _merge(kept.setdefault("logprobs", {}), value)
                elif value is not None or field not in kept:
                    kept[field] = value

    def result(self) -> dict[str, Any]:
        """The whole answer so far."""
        choices = []
        for _, choice in sorted(self._choices.items()):
            message = _joined(choice["message"])
            message.setdefault("role", "assistant")
            message.setdefault("content", None)
            choices.append({**_joined(choice), "message": message})
        return {**self._answer, "object": "chat.completion", "choices": choices}


class _Pieces(list[str]):
    """A string under construction."""


class _ByIndex(dict[int, Any]):
    """A list under construction whose items each name their index, as `tool_calls` do."""


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    for field, value in delta.items():
        kept = into.get(field)
        if value is None:
            into.setdefault(field, None)
        elif field in _FIXED_DELTAS:
            into[field] = value
        elif isinstance(value, str):
            if not isinstance(kept, _Pieces):
                kept = into[field] = _Pieces()
            kept.append(value)
        elif isinstance(value, dict):
            if not isinstance(kept, dict):
                kept = into[field] = {}
            _merge(kept, value)
        elif isinstance(value, list):
            _merge_list(into, field, value)
        else:
            into[field] = value


def _merge_list(into: dict[str, Any], field: str, value: list[Any]) -> None:
    kept = into.get(field)
    if value and all(isinstance(item, dict) and "index" in item for item in value):
        if not isinstance(kept, _ByIndex):
            kept = into[field] = _ByIndex()
        for item in value:
            _merge(kept.setdefault(item["index"], {}), item)
    elif type(kept) is list:
        kept.extend(value)
    else:
        into[field] = list(value)


def _joined(node: Any) -> Any:
    if isinstance(node, _Pieces):
        return "".join(node)
    if isinstance(node, _ByIndex):
        return [_joined(item) for _, item in sorted(node.items())]
    if isinstance(node, dict):
        return {field: _joined(value) for field, value in node.items()}
    return node


def unfold(answer: dict[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The chunks that stream a whole answer: per choice its role, its message, its end."""
    base = {
        field: value
        for field, value in answer.items()
        if field not in ("choices", "usage", "guardrail", "prompt_filter_results")
    }
    base["object"] = "chat.completion.chunk"
    first = {f: answer[f] for f in ("prompt_filter_results",) if f in answer}
    for number, choice in enumerate(answer["choices"]):
        index = choice.get("index", number)
        message = {f: v for f, v in choice["message"].items() if f != "role" and v is not None}
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            message["tool_calls"] = [{"index": i, **call} for i, call in enumerate(calls)]
        rest = {f: v for f, v in choice.items() if f not in ("index", "message", "finish_reason")}
        role = {"role": "assistant", "content": ""}
        opening = {"index": index, "delta": role, "finish_reason": None}
        yield {**base, "choices": [opening], **(first if number == 0 else {})}
        if message:
            body = {"index": index, "delta": message, "finish_reason": None}
            if (logprobs := rest.pop("logprobs", None)) is not None:
                body["logprobs"] = logprobs
            yield {**base, "choices": [body]}
        end = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason"), **rest}
        last = number == len(answer["choices"]) - 1
        extra = {"guardrail": answer["guardrail"]} if last and "guardrail" in answer else {}
        yield {**base, "choices": [end], **extra}
    if include_usage:
        yield {**base, "choices": [], "usage": answer.get("usage")}


def deltas(event: dict[str, Any]) -> list[Delta]:
    """Every piece of text in one chunk; an unknown field is a lane too, logprobs are none."""
    found: list[Delta] = []
    for number, choice in enumerate(event.get("choices") or ()):
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            continue
        index = choice.get("index", 0)
        for field, value in delta.items():
            if not value or field in _FIXED_DELTAS:
                continue
            stage = Stage.TOOL_CALL if field in ("tool_calls", "function_call") else Stage.OUTPUT
            role = "reasoning" if field in REASONING else "assistant"
            at: Pointer = ("choices", number, "delta", field)
            to: Pointer = ("choices", index, "message", field)
            if isinstance(value, str):
                found.append(Delta(Lane(stage, role, index, to), at, value))
            else:
                _add_deltas(found, Lane(stage, role, index, to), at, value)
    return found


def _add_deltas(found: list[Delta], lane: Lane, at: Pointer, node: Any) -> None:
    if isinstance(node, str):
        if node:
            found.append(Delta(lane, at, node))
    elif isinstance(node, list):
        for number, item in enumerate(node):
            place = item.get("index", number) if isinstance(item, dict) else number
            _add_deltas(found, _below(lane, place), (*at, number), item)
    elif isinstance(node, dict):
        for field, value in node.items():
            if field not in _FIXED_DELTAS and field not in fields.OPAQUE:
                _add_deltas(found, _below(lane, field), (*at, field), value)


def _below(lane: Lane, step: str | int) -> Lane:
    return Lane(lane.stage, lane.role, lane.index, (*lane.pointer, step))
