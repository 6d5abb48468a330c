"""An Anthropic message said back as a chat completion, streamed or not."""

from __future__ import annotations

from typing import Any

import pytest

from guardrails.errors import UpstreamError
from guardrails.wire import chat, messages
from guardrails.wire.message_to_chat import MessageEvents, completion
from tests.factories import make_exchange

BLOCKS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": "A stair."},
    "more": {"type": "text", "text": " And more."},
    "thinking": {"type": "thinking", "thinking": "Hm.", "signature": "s"},
    "hidden": {"type": "redacted_thinking", "data": "AA"},
    "call": {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
    "empty call": {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
}


def message(*blocks: str, reason: str = "end_turn", **fields: Any) -> dict[str, Any]:
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [BLOCKS[name] for name in blocks],
        "stop_reason": reason,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 4},
        **fields,
    }


def folded(given: dict[str, Any], **request: Any) -> dict[str, Any]:
    exchange = make_exchange(request=request)
    events, fold = MessageEvents(exchange), chat.Fold()
    for event in messages.unfold(given, include_usage=True):
        for chunk in events.add(event):
            fold.add(chunk)
    for chunk in events.end():
        fold.add(chunk)
    return fold.result()


@pytest.mark.parametrize(
    "given",
    [
        message("text"),
        message("text", "more"),
        message("thinking", "text"),
        message("hidden", "text"),
        message("text", "call", "empty call", reason="tool_use"),
        message("empty call", reason="tool_use"),
        message("text", reason="max_tokens"),
        message("text", reason="refusal", stop_details={"explanation": "No."}),
        message(),
    ],
)
@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_comes_to_the_same_as_the_whole_message(given: dict[str, Any], usage: bool):
    options = {"stream_options": {"include_usage": True}} if usage else {}
    streamed, whole = folded(given, **options), completion(given, make_exchange())
    (one,), (other,) = streamed["choices"], whole["choices"]
    assert one["finish_reason"] == other["finish_reason"]
    assert streamed["usage"] == whole["usage"]
    calls = [
        [(c["id"], c["function"]) for c in choice["message"].get("tool_calls") or ()]
        for choice in (one, other)
    ]
    assert calls[0] == calls[1]
    for field in ("content", "reasoning_content", "refusal"):
        assert (one["message"].get(field) or None) == (other["message"].get(field) or None)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"),
        ("tool_use", "tool_calls"), ("refusal", "content_filter"), ("new", "stop"),
        ("model_context_window_exceeded", "length"),
    ],
)  # fmt: skip
def test_why_it_ended(reason: str, told: str):
    answer = completion(message("text", reason=reason), make_exchange())
    assert answer["choices"][0]["finish_reason"] == told
    assert answer["usage"]["prompt_tokens"] == 5
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


def test_a_block_that_chat_has_not_is_an_error_and_never_lost():
    given = message("text")
    given["content"].append({"type": "server_tool_use", "id": "s", "input": {}})
    with pytest.raises(UpstreamError):
        completion(given, make_exchange())
    with pytest.raises(UpstreamError):
        folded(given)


def test_a_stream_that_breaks_off_has_no_end():
    events = MessageEvents(make_exchange())
    sent = list(messages.unfold(message("text"), include_usage=True))[:-1]
    for event in sent:
        list(events.add(event))
    assert list(events.end()) == []
