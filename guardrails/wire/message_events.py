"""How does an Anthropic message stream: fold, unfold, find its texts, stop it midway?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from guardrails.types import Segment, Stage
from guardrails.wire import fields
from guardrails.wire.deltas import Delta, Lane
from guardrails.wire.message_blocks import add_content
from guardrails.wire.pointers import Pointer
from guardrails.wire.texts import Texts

# What a delta of each type continues in its block.
_CONTINUES = {"text": "text", "thinking": "thinking", "partial_json": "input"}
_TEXTLESS = frozenset({"ping", "error", "content_block_stop", "message_stop"})

END = b""


def frame(event: dict[str, Any]) -> bytes:
    """An event as bytes on the wire: its type is also the name of the server-sent event."""
    name = str(event.get("type") or "error").encode()
    return b"event: %b\ndata: %b\n\n" % (name, orjson.dumps(event))


class Fold:
    """Puts a stream's events together to the message that would have come unstreamed.

    Cost: linear in the answer: pieces are kept in lists and joined once.
    """

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, dict[str, list[str]]] = {}
        self._odd: list[dict[str, Any]] = []
        self.ended = False

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event; what is no part of a message is kept under `streamed`."""
        kind = event.get("type")
        if kind == "message_start":
            self._message = dict(event.get("message") or {})
            for number, block in enumerate(self._message.get("content") or ()):
                self._blocks[number] = dict(block)
        elif kind == "content_block_start":
            self._blocks[event["index"]] = dict(event.get("content_block") or {})
        elif kind == "content_block_delta":
            self._continue(event["index"], event.get("delta") or {})
        elif kind == "message_delta":
            counted = {**(self._message.get("usage") or {}), **(event.get("usage") or {})}
            more = {f: v for f, v in event.items() if f not in ("type", "delta", "usage")}
            self._message |= {**more, **(event.get("delta") or {}), "usage": counted}
        elif kind == "message_stop":
            self.ended = True
        elif kind not in _TEXTLESS:
            self._odd.append(event)

    def _continue(self, index: int, delta: dict[str, Any]) -> None:
        block = self._blocks.setdefault(index, {"type": "text"})
        for field, value in delta.items():
            if field == "citation":
                block["citations"] = [*(block.get("citations") or ()), value]
            elif field == "signature":
                block[field] = value
            elif field != "type" and isinstance(value, str):
                pieces = self._pieces.setdefault(index, {})
                pieces.setdefault(_CONTINUES.get(field, field), []).append(value)

    def result(self) -> dict[str, Any]:
        """The whole message so far."""
        content = [self._block(index) for index in sorted(self._blocks)]
        odd = {"streamed": self._odd} if self._odd else {}
        return {**self._message, "content": content, **odd}

    def place(self, pointer: Pointer) -> Pointer:
        """Where a lane's text stands in the answer; a citation is taken for its block's first."""
        if len(pointer) > 3 and pointer[2] == "citations":
            return (*pointer[:3], 0, *pointer[3:])
        return pointer

    def _block(self, index: int) -> dict[str, Any]:
        block = self._blocks[index]
        joined: dict[str, Any] = {}
        for field, pieces in self._pieces.get(index, {}).items():
            text = "".join(pieces)
            begun = block.get(field)
            if field == "input":
                joined[field] = _parsed(text)
            else:
                joined[field] = (begun if isinstance(begun, str) else "") + text
        return {**block, **joined}


def _parsed(text: str) -> Any:
    """A tool's input; as text where the stream broke off within it."""
    if not text:
        return {}
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def unfold(answer: dict[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The events that stream a whole message, in Anthropic's complete sequence."""
    ends = ("stop_reason", "stop_sequence", "stop_details")
    extra: dict[str, Any] = {f: answer[f] for f in ("guardrail", "context") if f in answer}
    opening = {f: v for f, v in answer.items() if f not in extra and f not in ends}
    opening |= {"content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(answer["content"]):
        yield from _unfold_block(index, block)
    delta = {field: answer.get(field) for field in ends if field in answer}
    counted = answer.get("usage") or {"output_tokens": 0}
    yield {"type": "message_delta", "delta": delta, "usage": counted, **extra}
    yield {"type": "message_stop"}


def _unfold_block(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind = str(block.get("type"))
    begun, steps = dict(block), []
    if kind == "text":
        begun = {**block, "text": ""}
        if citations := begun.pop("citations", None):
            steps += [{"type": "citations_delta", "citation": one} for one in citations]
        steps.append({"type": "text_delta", "text": block.get("text") or ""})
    elif kind == "thinking":
        begun = {**block, "thinking": "", "signature": ""}
        steps.append({"type": "thinking_delta", "thinking": block.get("thinking") or ""})
        if block.get("signature"):
            steps.append({"type": "signature_delta", "signature": block["signature"]})
    elif kind.endswith("tool_use"):
        begun = {**block, "input": {}}
        written = orjson.dumps(block.get("input") or {}).decode()
        steps.append({"type": "input_json_delta", "partial_json": written})
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    for step in steps:
        yield {"type": "content_block_delta", "index": index, "delta": step}
    yield {"type": "content_block_stop", "index": index}


def deltas(event: dict[str, Any]) -> list[Delta]:
    """Every piece of text in one event.

    Limits: a citation does not say which one of its block it is, so all share a lane a field.
    """
    kind, index = event.get("type"), event.get("index", 0)
    texts = Texts()
    if kind == "message_start":
        content = (event.get("message") or {}).get("content")
        add_content(texts, Stage.OUTPUT, "assistant", 0, ("message", "content"), content)
        return [_delta(s, s.pointer[1:]) for s in texts.segments]
    if kind == "content_block_start":
        at: Pointer = ("content_block",)
        add_content(texts, Stage.OUTPUT, "assistant", 0, at, event.get("content_block"))
        return [_delta(s, ("content", index, *s.pointer[1:])) for s in texts.segments]
    if kind == "content_block_delta":
        return _block_deltas(index, event.get("delta") or {})
    if kind == "message_delta":
        where: Pointer = ("delta",)
        fields.read(texts, Stage.OUTPUT, "assistant", 0, where, event.get("delta"))
        return [_delta(s, s.pointer[1:]) for s in texts.segments]
    if kind not in _TEXTLESS:
        fields.read(texts, Stage.OUTPUT, "assistant", 0, (), event)
        return [_delta(s, ("streamed", 0, *s.pointer)) for s in texts.segments]
    return []


def _block_deltas(index: int, delta: dict[str, Any]) -> list[Delta]:
    found: list[Delta] = []
    for field, value in delta.items():
        if field == "citation":
            texts = Texts()
            fields.read(texts, Stage.OUTPUT, "assistant", 0, ("delta", field), value)
            to: Pointer = ("content", index, "citations")
            found += [_delta(s, (*to, *s.pointer[2:])) for s in texts.segments]
        elif isinstance(value, str) and value and field not in fields.PLAIN:
            stage = Stage.TOOL_CALL if field == "partial_json" else Stage.OUTPUT
            role = "reasoning" if field == "thinking" else "assistant"
            lane = Lane(stage, role, 0, ("content", index, _CONTINUES.get(field, field)))
            found.append(Delta(lane, ("delta", field), value))
    return found


def _delta(segment: Segment, to: Pointer) -> Delta:
    lane = Lane(segment.stage, segment.role, segment.index, to)
    return Delta(lane, segment.pointer, segment.text)


class Sent:
    """What a stream has let out so far: its blocks must be closed if it is stopped midway."""

    def __init__(self) -> None:
        self.begun = False
        self.blocks = 0
        self.open: int | None = None

    def add(self, event: dict[str, Any]) -> None:
        """Note an event that left for the caller."""
        kind = event.get("type")
        if kind == "message_start":
            self.begun = True
        elif kind == "content_block_start":
            self.open = event["index"]
            self.blocks = event["index"] + 1
        elif kind == "content_block_stop":
            self.open = None


def ending(answer: dict[str, Any], released: bool, sent: Sent) -> Iterator[dict[str, Any]]:
    """The events of a withheld answer that still have to come behind what was let out."""
    events = list(unfold(answer, include_usage=True))
    if not sent.begun:
        yield from events
        return
    if sent.open is not None:
        yield {"type": "content_block_stop", "index": sent.open}
    if not released:
        yield from ({**event, "index": sent.blocks} for event in events[1:-2])
    yield from events[-2:]
