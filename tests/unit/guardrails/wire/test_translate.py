"""Anthropic messages said to an OpenAI-speaking upstream, and back."""

import pytest

from guardrails.errors import BadRequest, UpstreamError
from guardrails.wire import messages
from guardrails.wire.translate import MESSAGES_TO_CHAT, error_envelope
from tests.factories import make_exchange

PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}


def request(content="hi", role="user", **fields):
    return MESSAGES_TO_CHAT.request({"messages": [{"role": role, "content": content}], **fields}, 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("hi", [{"role": "user", "content": "hi"}]),
        ([{"type": "text", "text": "hi"}], [{"role": "user", "content": "hi"}]),
        (
            [{"type": "text", "text": "hi"}, PICTURE],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hi"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                    ],
                }
            ],
        ),
        (
            [{"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "bad"}],
            [{"role": "tool", "tool_call_id": "t", "content": "Error: bad"}],
        ),
        (
            [{"type": "document", "title": "T", "source": {"type": "text", "data": "D"}}],
            [{"role": "user", "content": "T\n\nD"}],
        ),
        (
            [{"type": "search_result", "title": "T", "source": "S", "content": [{"text": "C"}]}],
            [{"role": "user", "content": "T\nS\nC"}],
        ),
    ],
)
def test_a_users_blocks_become_parts_and_tool_messages(content, told):
    assert request(content)["messages"] == told


def test_an_assistants_blocks_become_text_and_tool_calls():
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
    ]
    (told,) = request(content, "assistant")["messages"]
    function = {"name": "f", "arguments": '{"x":1}'}
    call = {"id": "t", "type": "function", "function": function}
    assert told == {"role": "assistant", "content": "a", "tool_calls": [call]}


def test_the_other_fields_are_said_in_chats_words_and_unknown_ones_pass():
    told = request(
        system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        max_tokens=5, stop_sequences=["x"], metadata={"user_id": "u"}, odd=1,
        thinking={"type": "enabled"},
        tools=[{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )  # fmt: skip
    assert told.pop("messages")[0] == {"role": "system", "content": "a\n\nb"}
    assert told.pop("response_format")["json_schema"]["schema"] == {"type": "object"}
    assert told == {
        "odd": 1, "max_tokens": 5, "stop": ["x"],
        "user": "u",
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object"}, "description": "d"},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"mcp_servers": [{"url": "x"}]},
        {"content": [{"type": "container_upload", "file_id": "f"}]},
        {"content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]},
    ],
)
def test_what_cannot_be_said_is_refused(fields):
    with pytest.raises(BadRequest, match="cannot be served"):
        request(**fields)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"finish_reason": "stop"}, "end_turn"),
        ({"finish_reason": "length"}, "max_tokens"),
        ({"finish_reason": "content_filter"}, "refusal"),
        ({"finish_reason": "stop", "stop_reason": "END"}, "stop_sequence"),
        ({"finish_reason": "stop", "refusal": "no"}, "refusal"),
    ],
)
def test_the_reasons_to_stop_are_translated(choice, reason):
    message = {"content": "a", "refusal": choice.pop("refusal", None)}
    answer = {"id": "c", "choices": [{"message": message, **choice}], "usage": None}
    told = MESSAGES_TO_CHAT.answer([answer], make_exchange(reply=None))
    assert told["stop_reason"] == reason


def translated(*chunks):
    events = MESSAGES_TO_CHAT.events(make_exchange(reply=None))
    told = [event for chunk in chunks for event in events.add(chunk)]
    return told + list(events.end())


def chunk(delta, finish=None, **fields):
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


def call(number, **function):
    return {"tool_calls": [{"index": number, "id": f"t{number}", "function": function}]}


def test_a_stream_opens_and_closes_one_block_at_a_time():
    told = translated(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        chunk(call(0, name="f", arguments="")),
        chunk(call(0, arguments='{"x":')),
        chunk(call(0, arguments="1}")),
        chunk(call(1, name="g", arguments="{}")),
        chunk({}, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    )
    fold = messages.Fold()
    for event in told:
        fold.add(event)
    answer = fold.result()
    assert fold.ended
    assert [block.get("type") for block in answer["content"]] == [
        "thinking", "text", "tool_use", "tool_use",
    ]  # fmt: skip
    assert answer["content"][1]["text"] == "ab"
    assert answer["content"][2]["input"] == {"x": 1}
    assert answer["stop_reason"] == "tool_use"
    assert answer["usage"]["output_tokens"] == 4
    kinds = [event["type"] for event in told]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 4


def test_a_stream_that_breaks_off_does_not_look_whole():
    assert "message_stop" not in {event["type"] for event in translated(chunk({"content": "a"}))}


def test_tool_calls_that_mingle_are_an_error():
    with pytest.raises(UpstreamError, match="mingle"):
        translated(chunk(call(0, name="f")), chunk(call(1, name="g")), chunk(call(0, arguments="")))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (422, "invalid_request_error"), (429, "rate_limit_error"),
     (500, "api_error"), (503, "overloaded_error"), (504, "timeout_error")],
)  # fmt: skip
def test_each_status_has_anthropics_type(status, kind):
    assert error_envelope("r", status, "m")["error"] == {"type": kind, "message": "m"}
