"""A chat completion said back as a response, streamed or not."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response
from pydantic import TypeAdapter

from guardrails.errors import UpstreamError
from guardrails.wire import chat, responses
from guardrails.wire.chat_to_responses import ResponseEvents, head, response, usage
from tests.factories import make_exchange

CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]


def completion(reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }


@pytest.mark.parametrize(
    ("given", "kinds", "status"),
    [
        (completion(content="a"), ["message"], "completed"),
        (completion(content="a", reasoning_content="r"), ["reasoning", "message"], "completed"),
        (completion(refusal="no"), ["message"], "completed"),
        (completion("tool_calls", content="a", tool_calls=CALLS),
         ["message", "function_call", "function_call"], "completed"),
        (completion("length", content="a"), ["message"], "incomplete"),
        (completion("content_filter"), [], "incomplete"),
    ],
)  # fmt: skip
def test_a_stream_comes_to_the_same_as_the_whole_answer(
    given: dict[str, Any], kinds: list[str], status: str
):
    exchange = make_exchange(request={"model": "demo", "input": "hi", "temperature": 0.5})
    whole = response(given, exchange)
    assert [item["type"] for item in whole["output"]] == kinds
    assert (whole["status"], whole["temperature"]) == (status, 0.5)
    TypeAdapter(Response).validate_python(whole)
    events, fold = ResponseEvents(exchange), responses.Fold()
    told = [
        event for chunk in chat.unfold(given, include_usage=True) for event in events.add(chunk)
    ]
    told += events.end()
    for event in told:
        fold.add(event)
    assert fold.ended
    assert fold.result() == whole
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


def test_calls_that_mingle_are_an_error():
    events = ResponseEvents(make_exchange())
    pieces = [{"index": 0, **CALLS[0]}, {"index": 1, **CALLS[1]}, {"index": 0, "function": {}}]
    with pytest.raises(UpstreamError):
        for piece in pieces:
            list(events.add({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}))


def test_a_stream_that_breaks_off_has_no_end():
    events = ResponseEvents(make_exchange())
    list(events.add({"choices": [{"index": 0, "delta": {"content": "a"}}]}))
    assert list(events.end()) == []


def test_a_head_repeats_its_request_and_usage_is_counted_in_other_words():
    exchange = make_exchange(request={"instructions": "s"})
    assert head(exchange)["instructions"] == "s"
    assert head(exchange, "r1")["id"] == "r1"
    counted = usage({"prompt_tokens": 3, "completion_tokens": 2,
                     "prompt_tokens_details": {"cached_tokens": 1}})  # fmt: skip
    assert counted["total_tokens"] == 5
    assert counted["input_tokens_details"]["cached_tokens"] == 1
