"""How do OpenAI's Responses stream: fold, unfold, find their texts, stop them midway?

A stream says most texts several times: piece by piece, whole when a part ends, again when its item
ends, and once more in the last event. Each time is a lane of its own, for each time could say
something else; `Fold` keeps whatever the last event's answer does not hold under `streamed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guardrails.types import Segment, Stage
from guardrails.wire import fields
from guardrails.wire.deltas import Delta, Lane
from guardrails.wire.message_events import frame as frame
from guardrails.wire.pointers import Pointer, found_at
from guardrails.wire.response_items import add_item
from guardrails.wire.texts import Texts

END = b""

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_LEAVES = {
    # What a delta continues, below its output item; `#` is the event's own index of that name.
    "response.output_text.delta": ("content", "#content_index", "text"),
    "response.refusal.delta": ("content", "#content_index", "refusal"),
    "response.reasoning_text.delta": ("content", "#content_index", "text"),
    "response.reasoning_summary_text.delta": ("summary", "#summary_index", "text"),
    "response.function_call_arguments.delta": ("arguments",),
    "response.mcp_call_arguments.delta": ("arguments",),
    "response.custom_tool_call_input.delta": ("input",),
    "response.code_interpreter_call_code.delta": ("code",),
    "response.shell_call_command.delta": ("action", "commands", "#command_index"),
    "response.output_item.added": (),
    "response.content_part.added": ("content", "#content_index"),
    "response.reasoning_summary_part.added": ("summary", "#summary_index"),
}
_OPAQUE_DELTAS = frozenset({"response.audio.delta"})


def deltas(event: dict[str, Any]) -> list[Delta]:
    """Every text in one event; those that repeat another have the event's name in their lane."""
    kind = str(event.get("type"))
    texts = Texts()
    if "response" in event:
        items = (event["response"] or {}).get("output") or ()
        for number, item in enumerate(items):
            add_item(texts, 0, ("response", "output", number), item, given=True)
        return [_delta(s, (kind, *s.pointer[1:])) for s in texts.segments]
    if kind in _OPAQUE_DELTAS:
        return []
    stage = Stage.TOOL_CALL if "_call" in kind else Stage.OUTPUT
    role = "reasoning" if "reasoning" in kind else "assistant"
    here = _place(kind, event)
    if isinstance(event.get("delta"), str):
        to = here or (kind, event.get("output_index", 0), event.get("content_index", 0))
        text = event["delta"]
        return [Delta(Lane(stage, role, 0, to), ("delta",), text)] if text else []
    for holder in ("item", "part"):
        inner = event.get(holder)
        if isinstance(inner, dict):
            if holder == "item":
                add_item(texts, 0, (holder,), inner, given=True)
            else:
                fields.read(texts, stage, role, 0, (holder,), inner)
            # An end repeats what its beginning and its deltas said.
            to = here or (kind, *_indexes(event))
            return [_delta(s, (*to, *s.pointer[1:])) for s in texts.segments]
    fields.read(texts, stage, role, 0, (), event)
    return [_delta(s, (kind, *_indexes(event), *s.pointer)) for s in texts.segments]


def _place(kind: str, event: dict[str, Any]) -> Pointer | None:
    """Where in the answer an event's text goes on; None for what has no place of its own."""
    steps = _LEAVES.get(kind)
    if steps is None:
        return None
    rest = [event.get(step[1:], 0) if step.startswith("#") else step for step in steps]
    return ("output", event.get("output_index", 0), *rest)


def _indexes(event: dict[str, Any]) -> tuple[int, ...]:
    names = ("output_index", "content_index", "summary_index", "annotation_index", "command_index")
    return tuple(event[name] for name in names if isinstance(event.get(name), int))


def _delta(segment: Segment, to: Pointer) -> Delta:
    return Delta(Lane(segment.stage, segment.role, 0, to), segment.pointer, segment.text)


class Fold:
    """Puts a stream's events together to the response that would have come unstreamed."""

    def __init__(self) -> None:
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._lanes: dict[Pointer, list[str]] = {}
        self._places: dict[Pointer, Pointer] = {}
        self.ended = False

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event."""
        kind = event.get("type")
        if isinstance(event.get("response"), dict):
            self._response = event["response"]
            self.ended = self.ended or kind in _LAST
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[event.get("output_index", 0)] = event.get("item") or {}
        for delta in deltas(event):
            self._lanes.setdefault(delta.lane.pointer, []).append(delta.text)

    def result(self) -> dict[str, Any]:
        """The response as its last event has it, or as far as it has come."""
        answer = self._response
        if not self.ended:
            answer = {**answer, "output": self._so_far()}
        by_text = {segment.text: segment.pointer for segment in _segments(answer)}
        odd: dict[str, Pointer] = {}
        for lane, pieces in self._lanes.items():
            text = "".join(pieces)
            self._places[lane] = by_text.get(text) or odd.setdefault(text, ("streamed", len(odd)))
        return {**answer, "streamed": list(odd)} if odd else answer

    def place(self, pointer: Pointer) -> Pointer:
        """Where the text of a lane stands in the answer, once it has been put together."""
        return self._places.get(pointer, pointer)

    def _so_far(self) -> list[dict[str, Any]]:
        items = []
        for number, item in sorted(self._items.items()):
            parts: dict[int, dict[str, Any]] = {}
            for pointer, pieces in self._lanes.items():
                if pointer[:2] != ("output", number):
                    continue
                text = "".join(pieces)
                if len(pointer) == 5 and pointer[2] == "content" and isinstance(pointer[3], int):
                    leaf = str(pointer[4])
                    kind = "refusal" if leaf == "refusal" else "output_text"
                    parts[pointer[3]] = {"type": kind, leaf: text, "annotations": []}
                elif len(pointer) == 3 and not isinstance(_at(item, pointer[2]), dict | list):
                    item = {**item, str(pointer[2]): text}
            whole = item.get("status") != "completed"
            items.append({**item, "content": list(parts.values())} if parts and whole else item)
        return items


def _at(item: dict[str, Any], step: Any) -> Any:
    try:
        return found_at(item, (step,))
    except (KeyError, IndexError, TypeError):
        return None


def _segments(answer: dict[str, Any]) -> tuple[Segment, ...]:
    texts = Texts()
    for number, item in enumerate(answer.get("output") or ()):
        add_item(texts, 0, ("output", number), item, given=True)
    return texts.done()[0]


def unfold(answer: dict[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The events that stream a whole response."""
    status = answer.get("status") or "completed"
    begun = {**answer, "output": [], "status": "in_progress", "incomplete_details": None}
    begun |= {"usage": None}
    begun.pop("guardrail", None)
    events = [{"type": "response.created", "response": begun}]
    events.append({"type": "response.in_progress", "response": begun})
    for number, item in enumerate(answer.get("output") or ()):
        events += unfold_item(number, item)
    events.append({"type": f"response.{status}", "response": answer})
    for number, event in enumerate(events):
        yield {**event, "sequence_number": number}


def unfold_item(number: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of one item; what is no message and no function call comes in one piece."""
    at = {"output_index": number, "item_id": item.get("id")}
    opened = {**item, "status": "in_progress"}
    kind = item.get("type")
    if kind == "message":
        opened["content"] = []
    elif kind == "function_call":
        opened["arguments"] = ""
    yield {"type": "response.output_item.added", "output_index": number, "item": opened}
    if kind == "message":
        for index, part in enumerate(item.get("content") or ()):
            yield from _unfold_part({**at, "content_index": index}, part)
    elif kind == "function_call":
        name = "response.function_call_arguments"
        written = {"arguments": item.get("arguments") or "", "name": item.get("name")}
        yield {"type": f"{name}.delta", **at, "delta": written["arguments"]}
        yield {"type": f"{name}.done", **at, **written}
    yield {"type": "response.output_item.done", "output_index": number, "item": item}


def _unfold_part(at: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    refused = part.get("type") == "refusal"
    field = "refusal" if refused else "text"
    name = "response.refusal" if refused else "response.output_text"
    more: dict[str, Any] = {} if refused else {"logprobs": part.get("logprobs") or []}
    yield {"type": "response.content_part.added", **at, "part": {**part, field: ""}}
    yield {"type": f"{name}.delta", **at, "delta": part.get(field) or "", **more}
    for place, annotation in enumerate(part.get("annotations") or ()):
        told = {"annotation_index": place, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **at, **told}
    yield {"type": f"{name}.done", **at, field: part.get(field) or "", **more}
    yield {"type": "response.content_part.done", **at, "part": part}


class Sent:
    """What a stream has let out so far: what was opened must be closed if it is stopped midway."""

    def __init__(self) -> None:
        self._fold = Fold()
        self.begun = False
        self.number = -1
        self.items = 0
        self.open: int | None = None

    def add(self, event: dict[str, Any]) -> None:
        """Note an event that left for the caller."""
        self._fold.add(event)
        self.begun = True
        self.number = max(self.number, event.get("sequence_number") or 0)
        if event.get("type") == "response.output_item.added":
            self.open = event.get("output_index", 0)
            self.items = self.open + 1
        elif event.get("type") == "response.output_item.done":
            self.open = None

    def output(self) -> list[dict[str, Any]]:
        """The items as they left, the open one as incomplete."""
        items: list[dict[str, Any]] = list(self._fold.result().get("output") or ())
        if self.open is not None and items:
            items[-1] = {**items[-1], "status": "incomplete"}
        return items


def ending(answer: dict[str, Any], released: bool, sent: Sent) -> Iterator[dict[str, Any]]:
    """The events of a withheld answer that still have to come behind what was let out."""
    if not sent.begun:
        yield from unfold(answer, include_usage=True)
        return
    output = sent.output()
    events: list[dict[str, Any]] = []
    if sent.open is not None and output:
        done = {"output_index": sent.open, "item": output[-1]}
        events.append({"type": "response.output_item.done", **done})
    if not released:
        for number, item in enumerate(answer["output"], sent.items):
            events += unfold_item(number, item)
            output.append(item)
    events.append({"type": "response.incomplete", "response": {**answer, "output": output}})
    for number, event in enumerate(events, sent.number + 1):
        yield {**event, "sequence_number": number}
