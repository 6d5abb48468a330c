"""A request for Responses said as a chat request."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from guardrails.errors import BadRequest
from guardrails.wire.responses_to_chat import LEFT_OUT, REFUSED, RESPONSES_TO_CHAT, SAID
from tests.factories import make_exchange


def said(given: Any = "hi", **fields: Any) -> dict[str, Any]:
    return RESPONSES_TO_CHAT.request({"input": given, **fields}, 0)


def test_every_field_that_the_sdk_knows_is_said_left_out_or_refused():
    known = set(ResponseCreateParamsBase.__annotations__)
    assert known == (SAID | LEFT_OUT | REFUSED.keys()) - {"stream"}


def test_items_become_messages_and_a_call_belongs_to_the_turn_before_it():
    told = said(
        [
            {"role": "user", "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "https://a/b.png"},
                {"type": "input_file", "file_data": "data:x;base64,AA", "filename": "f"},
            ]},
            {"type": "reasoning", "id": "r", "summary": []},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "b"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
        ],
        instructions="s",
    )  # fmt: skip
    function = {"name": "f", "arguments": "{}"}
    assert told["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
            {"type": "file", "file": {"file_data": "data:x;base64,AA", "filename": "f"}},
        ]},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}],
         "tool_calls": [{"id": "c", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]  # fmt: skip


def test_the_other_fields_are_said_in_chats_words_and_unknown_ones_pass():
    told = said(
        max_output_tokens=5, temperature=0, user="u", odd=1, reasoning={"effort": "low"},
        store=False, include=["reasoning.encrypted_content"], truncation="disabled",
        text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": True}],
        tool_choice={"type": "function", "name": "f"},
    )  # fmt: skip
    assert told.pop("messages") == [{"role": "user", "content": "hi"}]
    schema = {"name": "n", "schema": {}, "strict": True}
    assert told == {
        "odd": 1, "max_completion_tokens": 5, "temperature": 0, "user": "u",
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "tools": [{"type": "function",
                   "function": {"name": "f", "parameters": {}, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }  # fmt: skip


def test_a_choice_or_a_format_in_a_word_passes():
    tools = [{"type": "function", "name": "f"}]
    assert said(tools=tools, tool_choice="required")["tool_choice"] == "required"
    assert "tool_choice" not in said(tools=tools)
    assert said(text={"format": {"type": "text"}})["response_format"] == {"type": "text"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [{"type": "function"}], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
         "input[0].content[0]"),
    ],
)  # fmt: skip
def test_what_chat_cannot_say_is_refused(fields: dict[str, Any], param: str):
    with pytest.raises(BadRequest) as raised:
        RESPONSES_TO_CHAT.request({"input": "hi", **fields}, 0)
    assert raised.value.param == param


def test_an_answer_is_a_completion_with_a_choice():
    assert RESPONSES_TO_CHAT.is_answer({"choices": [{}]})
    assert not any(map(RESPONSES_TO_CHAT.is_answer, (None, {}, {"choices": []})))
    body = {"error": {"message": "x"}}
    assert RESPONSES_TO_CHAT.error(body, make_exchange()) is body
