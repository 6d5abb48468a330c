"""A chat request said to an Anthropic-speaking upstream."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from guardrails.errors import BadRequest
from guardrails.wire.chat_to_messages import (
    CHAT_TO_MESSAGES,
    LEFT_OUT,
    REFUSED,
    SAID,
    USUAL_TOKENS,
)
from guardrails.wire.translate import MESSAGES_TO_CHAT
from tests.factories import make_exchange

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


def said(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return CHAT_TO_MESSAGES.request({"messages": list(messages), **fields}, 0)


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def test_every_field_that_the_sdk_knows_is_said_left_out_or_refused():
    known = set(CompletionCreateParamsBase.__annotations__)
    assert known == (SAID | LEFT_OUT | REFUSED.keys()) - {"stream"}


def test_system_prompts_stand_by_themselves_and_turns_of_one_role_become_one():
    told = said(
        {"role": "system", "content": "a"},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "user", "content": [text("and"), text("")]},
        {"role": "developer", "content": "b"},
    )
    assert told["system"] == [text("a"), text("b")]
    assert told["messages"] == [
        {"role": "user", "content": [text("hi")]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [text("r")]},
                text("and"),
            ],
        },
    ]
    assert told["max_tokens"] == USUAL_TOKENS


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
         {"type": "image",
          "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}),
        ({"type": "image_url", "image_url": {"url": "https://a/b.png"}},
         {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}),
        ({"type": "file", "file": {"filename": "a.pdf",
                                   "file_data": "data:application/pdf;base64,AA"}},
         {"type": "document", "title": "a.pdf",
          "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}}),
        ({**text("a"), "cache_control": {"type": "ephemeral"}},
         {**text("a"), "cache_control": {"type": "ephemeral"}}),
    ],
)  # fmt: skip
def test_parts_become_blocks(part: dict[str, Any], block: dict[str, Any]):
    (turn,) = said({"role": "user", "content": [part]})["messages"]
    assert turn["content"] == [block]


def test_the_other_fields_are_said_in_anthropics_words_and_unknown_ones_pass():
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    told = said(
        USER, max_completion_tokens=5, stop="x", temperature=0.5, top_p=0.9, user="u", odd=1,
        n=1, seed=None, stream=True, stream_options={"include_usage": True}, service_tier="auto",
        response_format=schema, reasoning_effort="low", parallel_tool_calls=False,
        tools=[{"type": "function", "function": {"name": "f", "description": "d"}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
    )  # fmt: skip
    del told["messages"]
    assert told == {
        "odd": 1, "max_tokens": 5, "stop_sequences": ["x"], "temperature": 0.5, "top_p": 0.9,
        "metadata": {"user_id": "u"},
        "output_config": {
            "format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low",
        },
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "told"), [("auto", "auto"), ("none", "none"), ("required", "any")]
)
def test_a_tool_may_have_to_be_chosen(wanted: str, told: str):
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert said(USER, tools=tools, tool_choice=wanted)["tool_choice"] == {"type": told}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"seed": 0}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 1.5}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}], "tool_choice": {"type": "odd"}},
         "tool_choice"),
        ({"messages": [{**USER, "name": "ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
         "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "ftp://a"}}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [
            {"id": "c", "function": {"name": "f", "arguments": "[1]"}}]}]},
         "messages[0].tool_calls[0].function.arguments"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"custom": {}}]}]},
         "messages[0].tool_calls[0]"),
    ],
)  # fmt: skip
def test_what_messages_cannot_say_is_refused(fields: dict[str, Any], param: str):
    with pytest.raises(BadRequest) as raised:
        CHAT_TO_MESSAGES.request({"messages": [USER], **fields}, 0)
    assert raised.value.param == param


def test_there_and_back_a_conversation_is_the_same():
    messages = [
        {"role": "system", "content": "s"},
        USER,
        {"role": "assistant", "content": "a", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
        {"role": "user", "content": "b"},
    ]  # fmt: skip
    assert MESSAGES_TO_CHAT.request(said(*messages), 0)["messages"] == messages


def test_an_error_comes_in_openais_envelope():
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    told = CHAT_TO_MESSAGES.error(body, make_exchange())
    assert told["error"]["message"] == "slow down"
    assert told["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("answer", [None, {}, {"content": "x"}, {"content": [1]}])
def test_what_is_no_message_is_no_answer(answer: Any):
    assert not CHAT_TO_MESSAGES.is_answer(answer)
    assert CHAT_TO_MESSAGES.is_answer({"content": []})
