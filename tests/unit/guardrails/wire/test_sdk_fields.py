"""Every string in the official SDKs' types is read, named as unread, or known to say nothing.

The cases are made from the types: for each string of a type one minimal body that holds a mark
there. A field that a new version of an SDK brings fails here until it is sorted in `wire/fields`.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, get_args, get_origin

import anthropic.types as claude
import pytest
import typing_extensions
from openai.types import chat as openai_chat
from openai.types import responses as openai_responses
from openai.types.chat.chat_completion_chunk import ChoiceDelta

from guardrails.wire import chat, fields, messages, responses

MARK = "xyzzy"
ROOMS = ("openai", "anthropic")
WRAPPERS = (
    typing.Annotated,
    typing_extensions.Annotated,
    typing.Required,
    typing.NotRequired,
    typing_extensions.Required,
    typing_extensions.NotRequired,
)
NAMES = {"ClassVar": typing.ClassVar, "ConfigDict": dict}
SORTED = fields.JSON | fields.TEXT | fields.HOLDERS
UNREAD = fields.PLAIN | fields.OPAQUE
HINTS: dict[Any, dict[str, Any]] = {}


def bare(kind: Any) -> Any:
    """A type without its wrappers."""
    while get_origin(kind) in WRAPPERS or kind in WRAPPERS:
        kind = get_args(kind)[0]
    return kind


def hints(kind: type) -> dict[str, Any]:
    if kind not in HINTS:
        found = typing.get_type_hints(kind, localns=NAMES, include_extras=True)
        HINTS[kind] = {
            name: hint
            for name, hint in found.items()
            if not name.startswith(("_", "model_")) and get_origin(hint) is not typing.ClassVar
        }
    return HINTS[kind]


def literal(kind: Any) -> Any:
    """The first value of a Literal, or None."""
    kind = bare(kind)
    if get_origin(kind) in (typing.Literal, typing_extensions.Literal):
        return get_args(kind)[0]
    return None


def innermost_type(value: Any, path: tuple[str, ...]) -> Any:
    """The `type` of the object that holds the last name of a path."""
    for name in path[:-1]:
        value = value[name]
        value = value[0] if isinstance(value, list) else value
    return value.get("type")


def is_a(origin: Any, kind: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, kind)


def marked(kind: Any, on_path: tuple[type, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every path to a string in a type, with a minimal value that holds the mark there."""
    kind = bare(kind)
    origin = get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for one in get_args(kind):
            yield from marked(one, on_path)
    elif kind is str:
        yield (), MARK
    elif kind in (object, Any) or is_a(origin, collections.abc.Mapping):
        yield (), {"k": MARK}
    elif is_a(origin, collections.abc.Iterable):
        for path, value in marked(get_args(kind)[0], on_path):
            yield path, [value]
    elif isinstance(kind, type) and kind.__module__.split(".")[0] in ROOMS:
        if kind in on_path:
            return
        known = hints(kind)
        base = {name: literal(hint) for name, hint in known.items() if literal(hint) is not None}
        for name, hint in known.items():
            for path, value in marked(hint, (*on_path, kind)):
                yield (name, *path), {**base, name: value}


def in_a_message(value: Any) -> tuple[Any, Any]:
    return messages.inputs({"messages": [{"role": "user", **value}]})


def in_claudes_tools(value: Any) -> tuple[Any, Any]:
    return messages.inputs({"messages": [], "tools": [value]})


def in_an_answer_of_claude(value: Any) -> tuple[Any, Any]:
    return messages.outputs({"content": [value]})


def in_an_event_of_claude(value: Any) -> tuple[Any, Any]:
    return messages.deltas(value), ()


def in_the_input(value: Any) -> tuple[Any, Any]:
    return responses.inputs({"input": [value]})


def in_the_tools(value: Any) -> tuple[Any, Any]:
    return responses.inputs({"input": "", "tools": [value]})


def in_the_output(value: Any) -> tuple[Any, Any]:
    return responses.outputs({"output": [value]})


def in_an_event(value: Any) -> tuple[Any, Any]:
    return responses.deltas(value), ()


def in_a_chat(value: Any) -> tuple[Any, Any]:
    return chat.inputs({"messages": [{"role": "user", **value}]})


def in_a_chats_tools(value: Any) -> tuple[Any, Any]:
    return chat.inputs({"messages": [], "tools": [value]})


def in_a_choice(value: Any) -> tuple[Any, Any]:
    return chat.outputs({"choices": [{"index": 0, "message": value}]})


def in_a_delta(value: Any) -> tuple[Any, Any]:
    return chat.deltas({"choices": [{"index": 0, "delta": value}]}), ()


CASES = [
    (claude.MessageParam, in_a_message),
    (claude.ToolUnionParam, in_claudes_tools),
    (claude.ContentBlock, in_an_answer_of_claude),
    (claude.RawContentBlockStartEvent, in_an_event_of_claude),
    (claude.RawContentBlockDeltaEvent, in_an_event_of_claude),
    (openai_responses.ResponseInputItemParam, in_the_input),
    (openai_responses.ToolParam, in_the_tools),
    (openai_responses.ResponseOutputItem, in_the_output),
    (openai_responses.ResponseStreamEvent, in_an_event),
    (openai_chat.ChatCompletionMessageParam, in_a_chat),
    (openai_chat.ChatCompletionToolUnionParam, in_a_chats_tools),
    (openai_chat.ChatCompletionMessage, in_a_choice),
    (ChoiceDelta, in_a_delta),
]

# Events with a `response` are all alike; beside the model's output it echoes the request.
LIFECYCLE = "response.completed"
# Sound and pictures in a stream: base64, named as unread in the folded answer.
MEDIA = {("response.audio.delta", "delta"), ("image_generation_call", "result")}


@pytest.mark.parametrize(("kind", "scan"), CASES, ids=[scan.__name__ for _, scan in CASES])
def test_every_string_of_the_sdks_type_is_read_named_or_sorted_out(kind, scan):
    lost, unsorted, count = set(), set(), 0
    for path, value in marked(kind):
        if path[0] == "response" and (path[1] != "output" or value["type"] != LIFECYCLE):
            continue
        count += 1
        # What lies below an unread name is as unread.
        reached = takewhile(lambda name: name not in UNREAD, path)
        unsorted |= {name for name in reached if name not in SORTED}
        found, uncovered = scan(value)
        read = any(MARK in text.text for text in found)
        told = read or uncovered or UNREAD & set(path)
        if not told and (innermost_type(value, path), path[-1]) not in MEDIA:
            lost.add(".".join(path))
    assert count > 3
    assert not unsorted, f"sort these into wire/fields.py: {sorted(unsorted)}"
    assert not lost, f"nobody reads these: {sorted(lost)}"
