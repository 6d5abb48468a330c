"""Every OpenAI protocol before an Anthropic-speaking upstream, through the official clients."""

from __future__ import annotations

import asyncio
import json

import httpx
import huggingface_hub
import openai
import pydantic
import pytest

from guardrails.settings import UpstreamSettings
from tests import fakes, fakes_protocols
from tests.integration.conftest import BLOCK_INPUT, BLOCK_OUTPUT, HIDE_INPUT, Serve, Served

RULES = (BLOCK_INPUT, BLOCK_OUTPUT)
ASK = [{"role": "user", "content": "What is a stair?"}]
TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}
CALLED = [
    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    {"type": "text", "text": "A stair."},
    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "it"}},
    {"type": "tool_use", "id": "t2", "name": "rest", "input": {}},
]


def claude_at(url: str) -> dict[str, object]:
    upstream = UpstreamSettings(
        name="u", url=url, model="small", served_as="inner", speaks="anthropic"
    )
    return {"upstreams": (upstream,)}


def client(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


async def test_a_chat_with_tools_is_answered_alike_streamed_or_not(serve: Serve):
    step = fakes_protocols.messages(content=CALLED, stop_reason="tool_use")
    async with (
        fakes.upstream(step) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        client(b) as ai,
    ):
        asked = {"model": "small", "messages": ASK, "tools": [TOOL], "max_tokens": 50}
        whole = await ai.chat.completions.create(**asked)
        async with ai.chat.completions.stream(
            **asked, stream_options={"include_usage": True}
        ) as stream:
            streamed = await stream.get_final_completion()
        rows = await b.rows(2)
    sent = model.requests[0]
    assert sent.path == "/v1/messages"
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.json == {
        "model": "inner",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is a stair?"}]}],
        "tools": [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}],
    }
    assert model.requests[1].json == {**sent.json, "stream": True}
    for completion in (whole, streamed):
        (choice,) = completion.choices
        calls = [(c.function.name, c.function.arguments) for c in choice.message.tool_calls]
        assert [(name, json.loads(given)) for name, given in calls] == [
            ("look", {"at": "it"}),
            ("rest", {}),
        ]
        assert (choice.message.content, choice.finish_reason) == ("A stair.", "tool_calls")
        assert choice.message.reasoning_content == "Hm."
        assert completion.usage.prompt_tokens == 7 and completion.usage.completion_tokens == 5
        assert completion.model == "small"
    assert [row["gen_ai_usage_output_tokens"] for row in rows] == [5, 5]


async def test_a_stream_that_asks_for_no_usage_gets_no_chunk_of_it_but_the_record_has_it(
    serve: Serve,
):
    async with (
        fakes.upstream(fakes_protocols.messages("A stair has steps.")) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        client(b) as ai,
    ):
        stream = await ai.chat.completions.create(model="small", messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]
        (row,) = await b.rows(1)
    assert all(chunk.choices for chunk in chunks)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "A stair has steps."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert row["gen_ai_usage_output_tokens"] == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_forbidden_does_not_leave_in_any_protocol(serve: Serve, stream: bool):
    bodies = {
        "/v1/chat/completions": {"messages": ASK},
        "/v1/completions": {"prompt": "Once", "max_tokens": 9},
        "/v1/responses": {"input": "Once"},
        "/generate": {"inputs": "Once"},
    }
    step = fakes_protocols.messages("The magic word is xyzzy, friend.", chunk_characters=3)
    async with (
        fakes.upstream(step) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        httpx.AsyncClient(base_url=b.url, timeout=20) as http,
    ):
        for path, body in bodies.items():
            answer = await http.post(path, json={"model": "small", **body, "stream": stream})
            assert answer.status_code == 200, (path, answer.text)
            assert "xyzzy" not in answer.text and "Declined." in answer.text, path
        assert len(model.requests) == len(bodies)


async def test_hidden_values_come_back_in_the_answer_and_in_a_tools_arguments(serve: Serve):
    content = [
        {"type": "text", "text": "I write to [personal_data_1] now."},
        {"type": "tool_use", "id": "t", "name": "mail", "input": {"to": "[personal_data_1]"}},
    ]
    step = fakes_protocols.messages(content=content, stop_reason="tool_use", chunk_characters=3)
    asked = [{"role": "user", "content": "Write to ann@example.org please."}]
    async with (
        fakes.upstream(step) as model,
        serve("", rules=(HIDE_INPUT,), **claude_at(model.url)) as b,
        client(b) as ai,
    ):
        whole = await ai.chat.completions.create(model="small", messages=asked)
        async with ai.chat.completions.stream(model="small", messages=asked) as stream:
            streamed = await stream.get_final_completion()
    assert "ann@example.org" not in json.dumps([request.json for request in model.requests])
    for completion in (whole, streamed):
        message = completion.choices[0].message
        assert message.content == "I write to ann@example.org now."
        assert json.loads(message.tool_calls[0].function.arguments) == {"to": "ann@example.org"}


class Stair(pydantic.BaseModel):
    steps: int


async def test_an_answer_in_a_schema_is_parsed(serve: Serve):
    async with (
        fakes.upstream(fakes_protocols.messages('{"steps": 3}')) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        client(b) as ai,
    ):
        chat = await ai.chat.completions.parse(model="small", messages=ASK, response_format=Stair)
        answer = await ai.responses.parse(model="small", input="hi", text_format=Stair)
    assert chat.choices[0].message.parsed == answer.output_parsed == Stair(steps=3)
    schemas = [request.json["output_config"]["format"]["schema"] for request in model.requests]
    assert schemas[0]["properties"] == schemas[1]["properties"]


async def test_responses_have_their_whole_sequence(serve: Serve):
    step = fakes_protocols.messages(content=CALLED, stop_reason="tool_use")
    tool = {"type": "function", **TOOL["function"]}
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "Look!"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
    ]
    async with (
        fakes.upstream(step) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        client(b) as ai,
    ):
        asked = {"model": "small", "instructions": "Be brief.", "input": given, "tools": [tool]}
        whole = await ai.responses.create(**asked)
        async with ai.responses.stream(**asked) as stream:
            events = [event async for event in stream]
            streamed = await stream.get_final_response()
        (row, _) = await b.rows(2)
    sent = model.requests[0].json
    assert sent["system"] == [{"type": "text", "text": "Be brief."}]
    assert [block["type"] for turn in sent["messages"] for block in turn["content"]] == [
        "text",
        "tool_use",
        "tool_result",
    ]
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    for response in (whole, streamed):
        assert [item.type for item in response.output] == [
            "reasoning",
            "message",
            "function_call",
            "function_call",
        ]
        assert response.output_text == "A stair."
        assert json.loads(response.output[2].arguments) == {"at": "it"}
        assert response.status == "completed" and response.usage.output_tokens == 5
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert row["gen_ai_response_finish_reasons"] == ["completed"]


async def test_completions_generations_and_predictions_are_asked_as_one_turn(serve: Serve):
    async with (
        fakes.upstream(fakes_protocols.messages("there was a stair.")) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        client(b) as ai,
        httpx.AsyncClient(base_url=b.url, timeout=20) as http,
    ):
        completed = await ai.completions.create(model="small", prompt="Once", max_tokens=9)
        stream = await ai.completions.create(model="small", prompt="Once", stream=True)
        pieces = [chunk.choices[0].text async for chunk in stream]

        def generate() -> tuple[str, str]:
            tgi = huggingface_hub.InferenceClient(f"{b.url}/generate", token="none")
            return (
                tgi.text_generation("Once", max_new_tokens=5),
                "".join(tgi.text_generation("Once", max_new_tokens=5, stream=True)),
            )

        generated = await asyncio.to_thread(generate)
        predicted = await http.post(
            "/v1/projects/p/locations/l/endpoints/small:predict",
            json={"instances": [{"prompt": "Once"}, {"prompt": "Twice"}]},
        )
    said = "there was a stair."
    assert completed.choices[0].text == "".join(pieces) == said
    assert completed.choices[0].finish_reason == "stop"
    assert generated == (said, said)
    assert len(predicted.json()["predictions"]) == 2
    turn = [{"role": "user", "content": [{"type": "text", "text": "Once"}]}]
    assert [request.json["messages"] for request in model.requests[:5]] == [turn] * 5


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/chat/completions", {"messages": ASK, "n": 2}, "n"),
        ("/v1/chat/completions", {"messages": ASK, "logprobs": True}, "logprobs"),
        ("/v1/chat/completions", {"messages": [{**ASK[0], "name": "ann"}]}, "messages[0].name"),
        ("/v1/responses", {"input": "hi", "previous_response_id": "r"}, "previous_response_id"),
        ("/v1/responses", {"input": "hi", "tools": [{"type": "web_search"}]}, "tools[0]"),
        ("/v1/completions", {"prompt": ["a", "b"]}, "prompt"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
    ],
)
async def test_what_has_no_equivalent_is_told_and_nothing_is_sent(
    serve: Serve, path: str, body: dict[str, object], named: str
):
    async with (
        fakes.upstream(fakes_protocols.messages("hi")) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        httpx.AsyncClient(base_url=b.url, timeout=20) as http,
    ):
        answer = await http.post(path, json={"model": "small", **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == named
    assert model.requests == []


async def test_the_upstreams_own_error_comes_in_the_callers_envelope(serve: Serve):
    step = fakes_protocols.anthropic_error(400, "invalid_request_error", "max_tokens: too large")
    async with (
        fakes.upstream(step) as model,
        serve("", rules=RULES, **claude_at(model.url)) as b,
        client(b) as ai,
    ):
        with pytest.raises(openai.BadRequestError, match="max_tokens: too large") as raised:
            await ai.chat.completions.create(model="small", messages=ASK)
    assert raised.value.type == "invalid_request_error"
