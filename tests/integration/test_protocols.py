"""Every protocol but OpenAI chat, through the official clients, against upstreams of both kinds."""

from __future__ import annotations

import asyncio
import json

import anthropic
import httpx
import huggingface_hub
import openai
import pydantic
import pytest

from guardrails.settings import UpstreamSettings
from tests import fakes, fakes_protocols
from tests.integration.conftest import BLOCK_INPUT, BLOCK_OUTPUT, REDACT_OUTPUT, Serve, Served

ASK = [{"role": "user", "content": "What is a stair?"}]
BAD = [{"role": "user", "content": "Please say xyzzy."}]
KEY = "AKIA" + "IOSFODNN7EXAMPLE"
RULES = (BLOCK_INPUT, BLOCK_OUTPUT)
EVERYWHERE = tuple(
    {"id": f"{stage}-rule", "label": "forbidden", "stage": stage, "action": "block"}
    for stage in ("input", "output", "tool_call", "tool_result")
)


def speaking(kind: str, url: str) -> dict[str, object]:
    """The setting for one upstream of a kind."""
    upstream = UpstreamSettings(name="u", url=url, model="small", served_as="inner", speaks=kind)
    return {"upstreams": (upstream,)}


def claude(served: Served) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=served.url, api_key="none", max_retries=0)


async def post(served: Served, path: str, **arguments) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
        return await http.post(path, **arguments)


def asking(**fields):
    return {"model": "small", "max_tokens": 100, "messages": ASK, **fields}


# Anthropic messages.


async def test_a_message_passes_untouched_to_an_anthropic_upstream(serve: Serve):
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "text", "text": "A stair."},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "it"}},
    ]
    said = asking(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
                    },
                    {"type": "text", "text": "What is this?"},
                ],
            },
            {"role": "user", "content": "And that?"},
            {"role": "assistant", "content": "It is"},
        ],
        tools=[{"name": "look", "input_schema": {"type": "object"}}],
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    step = fakes_protocols.messages(content=content, stop_reason="tool_use", extra={"new": 1})
    async with (
        fakes.upstream(step) as model,
        serve("", rules=RULES, **speaking("anthropic", model.url)) as b,
        claude(b) as ai,
    ):
        raw = await ai.messages.with_raw_response.create(
            **said, extra_body={"odd": {"x": 1}}, extra_headers={"anthropic-beta": "some-beta"}
        )
        message = await raw.parse()
        async with ai.messages.stream(**said) as stream:
            events = [event.type async for event in stream]
            whole = await stream.get_final_message()
        rows = await b.rows(2)
    sent = model.requests[0]
    assert sent.json == {**said, "odd": {"x": 1}, "model": "inner"}
    assert sent.path == "/v1/messages"
    assert (
        sent.headers["anthropic-version"] == raw.http_response.request.headers["anthropic-version"]
    )
    assert sent.headers["anthropic-beta"] == "some-beta"
    assert "x-api-key" not in sent.headers
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.model == whole.model == "small"
    assert message.model_extra["new"] == 1
    assert [block.to_dict() for block in whole.content] == [b.to_dict() for b in message.content]
    assert whole.stop_reason == message.stop_reason == "tool_use"
    assert events[0] == "message_start" and events[-1] == "message_stop"
    assert rows[0]["protocol"] == rows[1]["protocol"] == "messages"
    assert rows[0]["completion"]["content"] == rows[1]["completion"]["content"]
    assert rows[0]["gen_ai_usage_output_tokens"] == 5
    assert raw.headers["x-guardrail-uncovered"] == "1"


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_a_blocked_message_is_a_refusal_streamed_or_not(serve: Serve, kind: str):
    async with (
        fakes.upstream() as model,
        serve("", rules=RULES, **speaking(kind, model.url)) as b,
        claude(b) as ai,
    ):
        answer = await ai.messages.create(**asking(messages=BAD))
        async with ai.messages.stream(**asking(messages=BAD)) as stream:
            events = [event.type async for event in stream]
            streamed = await stream.get_final_message()
        rows = await b.rows(2)
    assert model.requests == []
    for message in (answer, streamed):
        assert message.stop_reason == "refusal"
        assert message.stop_details.explanation == "Declined."
        assert [block.text for block in message.content] == ["Declined."]
        assert message.usage.output_tokens == 0
    assert [event for event in events if event != "text"] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert {row["decision"] for row in rows} == {"block"}


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_answer_never_leaves_as_a_message(serve: Serve, kind: str, stream: bool):
    text = "The magic word is xyzzy, friend."
    step = fakes_protocols.messages(text) if kind == "anthropic" else fakes.chat(text)
    async with (
        fakes.upstream(step) as model,
        serve("", rules=RULES, **speaking(kind, model.url)) as b,
    ):
        answer = await post(b, "/v1/messages", json=asking(stream=stream))
        (row,) = await b.rows(1)
    assert "xyzzy" not in answer.text and "magic" not in answer.text
    assert "Declined." in answer.text and "refusal" in answer.text
    assert answer.headers["x-guardrail-decision"] == "block"
    assert "xyzzy" in json.dumps(row["completion"])


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_a_secret_is_cut_out_of_a_message(serve: Serve, kind: str):
    text = f"Use {KEY} for it."
    step = fakes_protocols.messages(text) if kind == "anthropic" else fakes.chat(text)
    async with (
        fakes.upstream(step) as model,
        serve("", rules=(REDACT_OUTPUT,), **speaking(kind, model.url)) as b,
        claude(b) as ai,
    ):
        whole = await ai.messages.create(**asking())
        async with ai.messages.stream(**asking()) as stream:
            streamed = await stream.get_final_text()
    assert whole.content[0].text == streamed == "Use [secret] for it."


async def test_a_message_is_translated_for_an_openai_upstream(serve: Serve):
    step = fakes.chat("", tool_calls=[("look", {"at": "it"})], reasoning="Hm.")
    said = asking(
        system="Be brief.",
        stop_sequences=["END"],
        messages=[
            *ASK,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "a stair"},
                    {"type": "text", "text": "So?"},
                ],
            },
        ],
        tools=[{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
    )
    async with (
        fakes.upstream(step) as model,
        serve("", rules=RULES, **speaking("openai", model.url)) as b,
        claude(b) as ai,
    ):
        message = await ai.messages.create(**said)
        async with ai.messages.stream(**said) as stream:
            streamed = await stream.get_final_message()
        rows = await b.rows(2)
    sent = model.requests[0].json
    assert model.requests[0].path == "/v1/chat/completions"
    assert sent["model"] == "inner"
    assert sent["max_tokens"] == 100
    assert sent["stop"] == ["END"]
    assert sent["tool_choice"] == "required"
    assert [m["role"] for m in sent["messages"]] == [
        "system", "user", "assistant", "tool", "user",
    ]  # fmt: skip
    assert sent["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
    assert sent["messages"][3] == {"role": "tool", "tool_call_id": "t1", "content": "a stair"}
    for answer in (message, streamed):
        assert [block.type for block in answer.content] == ["thinking", "tool_use"]
        assert answer.content[1].input == {"at": "it"}
        assert answer.stop_reason == "tool_use"
        assert answer.usage.input_tokens == 7
    assert streamed.content == message.content
    assert rows[0]["completion"]["content"] == rows[1]["completion"]["content"]


async def test_the_sync_client_works_as_well(serve: Serve):
    async with (
        fakes.upstream(fakes_protocols.messages()) as model,
        serve("", rules=RULES, **speaking("anthropic", model.url)) as b,
    ):

        def ask() -> tuple[str, str, int]:
            with anthropic.Anthropic(base_url=b.url, api_key="none", max_retries=0) as ai:
                whole = ai.messages.create(**asking())
                with ai.messages.stream(**asking()) as stream:
                    streamed = "".join(stream.text_stream)
                count = ai.messages.count_tokens(model="small", messages=ASK)
            return whole.content[0].text, streamed, count.input_tokens

        whole, streamed, count = await asyncio.to_thread(ask)
    assert whole == streamed == "Echo: What is a stair?"
    assert count > 0


async def test_tokens_are_counted_where_the_upstream_can_and_404_elsewhere(serve: Serve):
    async with fakes.upstream(fakes_protocols.messages()) as model:
        async with (
            serve("", rules=RULES, **speaking("anthropic", model.url)) as b,
            claude(b) as ai,
        ):
            assert (await ai.messages.count_tokens(model="small", messages=ASK)).input_tokens
            with pytest.raises(anthropic.BadRequestError, match="Declined"):
                await ai.messages.count_tokens(model="small", messages=BAD)
        async with (
            serve("", rules=RULES, **speaking("openai", model.url)) as b,
            claude(b) as ai,
        ):
            with pytest.raises(anthropic.NotFoundError, match="count_tokens"):
                await ai.messages.count_tokens(model="small", messages=ASK)
    assert len(model.requests) == 1


async def test_errors_come_in_anthropics_envelope(serve: Serve):
    overloaded = fakes_protocols.anthropic_error(529, "overloaded_error", "Overloaded")
    async with (
        fakes.upstream(overloaded) as model,
        serve("", rules=RULES, retries=0, **speaking("anthropic", model.url)) as b,
        claude(b) as ai,
    ):
        with pytest.raises(anthropic.BadRequestError) as bad:
            await ai.messages.create(**asking(messages=[{"role": "user", "content": 3}]))
        with pytest.raises(anthropic.NotFoundError) as lost:
            await ai.messages.create(**asking(model="none"))
        with pytest.raises(anthropic.APIStatusError) as full:
            await ai.messages.create(**asking())
        wrong = await post(b, "/v1/embeddings", json={"model": "small", "input": "hi"})
    assert bad.value.body["error"]["type"] == "invalid_request_error"
    assert bad.value.body["request_id"] == bad.value.response.headers["x-request-id"]
    assert lost.value.body["error"]["type"] == "not_found_error"
    assert full.value.status_code == 529
    assert full.value.body["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert wrong.status_code == 404
    assert "anthropic" in wrong.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_an_error_of_the_upstream_is_told_in_the_callers_envelope(serve: Serve, kind: str):
    step = fakes.status(400, {"error": {"message": "too long", "type": "x", "code": None}})
    async with (
        fakes.upstream(step) as model,
        serve("", **speaking("openai", model.url)) as b,
        claude(b) as ai,
    ):
        with pytest.raises(anthropic.BadRequestError) as raised:
            await ai.messages.create(**asking())
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"] == {"type": "invalid_request_error", "message": "too long"}


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_a_message_stream_that_breaks_is_an_error(serve: Serve, kind: str):
    step = fakes.broken_stream()
    if kind == "anthropic":
        start = {"type": "message_start", "message": {"content": [], "usage": {}}}
        step = fakes.sse([start], done=False)
    async with (
        fakes.upstream(step) as model,
        serve("", rules=(BLOCK_INPUT,), retries=0, **speaking(kind, model.url)) as b,
        claude(b) as ai,
    ):
        with pytest.raises(anthropic.APIError):
            async with ai.messages.stream(**asking()) as stream:
                async for _ in stream:
                    pass
        (row,) = await b.rows(1)
    assert row["failure_code"]


async def test_a_blocked_turn_in_the_history_of_messages_is_masked(serve: Serve):
    history = [*BAD, {"role": "assistant", "content": [{"type": "text", "text": "Declined."}]}]
    async with (
        fakes.upstream(fakes_protocols.messages()) as model,
        serve("", rules=RULES, **speaking("anthropic", model.url)) as b,
        claude(b) as ai,
    ):
        answer = await ai.messages.create(**asking(messages=[*history, *ASK]))
    assert answer.content[0].text == "Echo: What is a stair?"
    assert "xyzzy" not in json.dumps(model.last.json)


async def test_a_route_may_answer_blocked_messages_as_an_error(serve: Serve):
    routes = {"default": {"blocked_as": "error"}}
    async with (
        fakes.upstream() as model,
        serve(model.url, rules=RULES, routes=routes) as b,
        claude(b) as ai,
    ):
        with pytest.raises(anthropic.BadRequestError, match="Declined") as raised:
            await ai.messages.create(**asking(messages=BAD))
    assert raised.value.response.headers["x-should-retry"] == "false"


# OpenAI's Responses.


def openai_client(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


async def test_a_response_passes_untouched(serve: Serve):
    output = [
        {"type": "reasoning", "id": "r_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        fakes_protocols.message_item("A stair."),
        {"type": "function_call", "id": "f_1", "call_id": "c1", "name": "look",
         "arguments": '{"at": "it"}', "status": "completed"},
    ]  # fmt: skip
    said = {
        "model": "small",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "What is a stair?"},
            {"role": "user", "content": "And that?"},
            {"type": "function_call", "call_id": "c0", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c0", "output": "seen"},
        ],
        "tools": [{"type": "function", "name": "look", "parameters": {}, "strict": True}],
        "previous_response_id": "resp_0",
        "store": True,
    }
    step = fakes_protocols.responses(output=output, extra={"new": 1})
    async with (
        fakes.upstream(step) as model,
        serve(model.url, rules=RULES) as b,
        openai_client(b) as ai,
    ):
        raw = await ai.responses.with_raw_response.create(**said, extra_body={"odd": 1})
        whole = raw.parse()
        async with ai.responses.stream(**said) as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_response()
        rows = await b.rows(2)
    assert model.requests[0].json == {**said, "odd": 1}
    assert model.requests[0].path == "/v1/responses"
    assert whole.output_text == streamed.output_text == "A stair."
    assert whole.model == streamed.model == "small"
    assert whole.model_extra["new"] == 1
    assert [item.type for item in streamed.output] == ["reasoning", "message", "function_call"]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert raw.headers["x-guardrail-uncovered"] == "2"
    assert rows[0]["completion"]["output"] == rows[1]["completion"]["output"]
    assert rows[0]["uncovered"] == [
        "previous_response_id: kept by the upstream",
        "store: kept by the upstream",
    ]


async def test_a_blocked_response_is_incomplete_streamed_or_not(serve: Serve):
    async with (
        fakes.upstream() as model,
        serve(model.url, rules=RULES) as b,
        openai_client(b) as ai,
    ):
        answer = await ai.responses.create(model="small", input="Please say xyzzy.")
        stream = await ai.responses.create(model="small", input="xyzzy", stream=True)
        events = [event async for event in stream]
    assert model.requests == []
    for response in (answer, events[-1].response):
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "content_filter"
        assert response.output_text == "Declined."
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_answer_never_leaves_as_a_response(serve: Serve, stream: bool):
    step = fakes_protocols.responses("The magic word is xyzzy, friend.")
    async with fakes.upstream(step) as model, serve(model.url, rules=RULES) as b:
        body = {"model": "small", "input": "hi", "stream": stream}
        answer = await post(b, "/v1/responses", json=body)
        (row,) = await b.rows(1)
    assert "xyzzy" not in answer.text and "magic" not in answer.text
    assert "Declined." in answer.text and "content_filter" in answer.text
    assert "xyzzy" in json.dumps(row["completion"])


async def test_a_secret_is_cut_out_of_a_response_wherever_it_is_repeated(serve: Serve):
    step = fakes_protocols.responses(f"Use {KEY} for it.")
    async with fakes.upstream(step) as model, serve(model.url, rules=(REDACT_OUTPUT,)) as b:
        body = {"model": "small", "input": "hi"}
        whole = await post(b, "/v1/responses", json=body)
        streamed = await post(b, "/v1/responses", json={**body, "stream": True})
    for answer in (whole, streamed):
        assert KEY not in answer.text
        assert "Use [secret] for it." in answer.text


@pytest.mark.parametrize("texts", [("The word is xyzzy.", "Well."), ("Well.", "It is xyzzy.")])
async def test_a_response_that_streams_one_thing_and_ends_with_another_is_checked_for_both(
    serve: Serve, texts: tuple[str, str]
):
    claimed = [fakes_protocols.message_item(texts[1])]
    step = fakes_protocols.responses(texts[0], snapshot=claimed)
    async with fakes.upstream(step) as model, serve(model.url, rules=RULES) as b:
        body = {"model": "small", "input": "hi", "stream": True}
        answer = await post(b, "/v1/responses", json=body)
        (row,) = await b.rows(1)
    assert "xyzzy" not in answer.text
    assert "content_filter" in answer.text
    assert row["decision"] == "block"


class Stair(pydantic.BaseModel):
    steps: int


async def test_structured_output_parses_and_a_refusal_does_not_look_like_it(serve: Serve):
    async with (
        fakes.upstream(fakes_protocols.responses('{"steps": 3}')) as model,
        serve(model.url, rules=RULES) as b,
        openai_client(b) as ai,
    ):
        good = await ai.responses.parse(model="small", input="hi", text_format=Stair)
        bad = await ai.responses.parse(model="small", input="xyzzy", text_format=Stair)
    assert good.output_parsed == Stair(steps=3)
    assert bad.output_parsed is None
    assert bad.output[0].content[0].refusal == "Declined."


async def test_a_blocked_turn_in_the_history_of_responses_is_masked(serve: Serve):
    history = [*BAD, fakes_protocols.message_item("Declined."), *ASK]
    async with (
        fakes.upstream(fakes_protocols.responses()) as model,
        serve(model.url, rules=RULES) as b,
        openai_client(b) as ai,
    ):
        answer = await ai.responses.create(model="small", input=history)
    assert answer.output_text == "Echo: What is a stair?"
    assert "xyzzy" not in json.dumps(model.last.json)


# Streams that are stopped midway.


@pytest.mark.parametrize("protocol", ["anthropic", "translated", "responses"])
async def test_a_stream_that_is_stopped_midway_lets_out_the_good_and_ends_well(
    serve: Serve, protocol: str
):
    text = "This first sentence is a good one. " * 20 + "And now xyzzy follows. And more. " * 5
    steps = {
        "anthropic": fakes_protocols.messages(text, delay_seconds=0.003),
        "translated": fakes.chat(text, delay_seconds=0.003),
        "responses": fakes_protocols.responses(text, delay_seconds=0.003),
    }
    kind = "anthropic" if protocol == "anthropic" else "openai"
    async with (
        fakes.upstream(steps[protocol]) as model,
        serve("", rules=RULES, **speaking(kind, model.url)) as b,
    ):
        if protocol == "responses":
            async with openai_client(b) as ai:
                stream = await ai.responses.create(model="small", input="hi", stream=True)
                events = [event async for event in stream]
            said = "".join(e.delta for e in events if e.type == "response.output_text.delta")
            last = events[-1].response
            assert (last.status, last.incomplete_details.reason) == ("incomplete", "content_filter")
            assert last.output_text == said
        else:
            async with claude(b) as ai, ai.messages.stream(**asking()) as stream:
                said = "".join([piece async for piece in stream.text_stream])
                message = await stream.get_final_message()
            assert message.stop_reason == "refusal"
            assert message.content[0].text == said
        (row,) = await b.rows(1)
    assert said.startswith("This first sentence") and text.startswith(said)
    assert "xyzzy" not in said and "Declined." not in said
    assert row["decision"] == "block"


# Vertex.

PREDICT = "/v1/projects/p/locations/l/endpoints/small:predict"


async def test_vertex_predictions_come_from_the_chat_upstream(serve: Serve):
    chat = {"context": "Be brief.", "messages": [{"author": "user", "content": "Who?"}]}
    body = {"instances": [{"prompt": "One"}, chat], "parameters": {"maxOutputTokens": 9}}
    async with fakes.upstream() as model, serve(model.url, rules=RULES) as b:
        answer = await post(b, PREDICT, json=body)
        lost = await post(b, PREDICT.replace("small", "123"), json=body)
        rows = await b.rows(2)
    first, second = answer.json()["predictions"]
    assert first["content"] == "Echo: One"
    assert second["candidates"][0]["content"] == "Echo: Who?"
    assert first["safetyAttributes"]["blocked"] is False
    assert "forbidden" in first["safetyAttributes"]["categories"]
    sent = sorted((request.json for request in model.requests), key=lambda j: len(j["messages"]))
    assert [len(one["messages"]) for one in sent] == [1, 2]
    assert {one["max_tokens"] for one in sent} == {9}
    assert rows[0]["protocol"] == "vertex"
    assert rows[0]["gen_ai_usage_input_tokens"] == 14
    assert lost.status_code == 404
    assert lost.json()["error"]["status"] == "NOT_FOUND"


async def test_a_blocked_prediction_says_so_in_its_safety_attributes(serve: Serve):
    async with fakes.upstream() as model, serve(model.url, rules=RULES) as b:
        asked = await post(b, PREDICT, json={"instances": [{"prompt": "xyzzy"}]})
    assert model.requests == []
    async with (
        fakes.upstream(fakes.chat("The word is xyzzy.")) as model,
        serve(model.url, rules=RULES) as b,
    ):
        said = await post(b, PREDICT, json={"instances": [{"prompt": "hi"}]})
    for answer in (asked, said):
        assert answer.status_code == 200
        (prediction,) = answer.json()["predictions"]
        assert prediction["content"] == "Declined."
        attributes = prediction["safetyAttributes"]
        assert attributes["blocked"] is True
        assert (attributes["categories"][0], attributes["scores"][0]) == ("forbidden", 1.0)


# TGI.


async def test_tgi_generates_through_an_openai_upstream(serve: Serve):
    async with fakes.upstream(fakes_protocols.tgi()) as model, serve(model.url, rules=RULES) as b:
        body = {"inputs": "Once", "parameters": {"max_new_tokens": 1, "details": True}}
        whole = await post(b, "/generate", json=body)
        streamed = await post(b, "/generate_stream", json=body)
        blocked = await post(b, "/generate", json={"inputs": "xyzzy"})
        wrong = await post(b, "/generate", json={"inputs": 3})
    asked = model.requests[0].json
    assert model.requests[0].path == "/v1/completions"
    assert (asked["prompt"], asked["max_tokens"], asked["model"]) == ("Once", 1, "small")
    assert model.requests[1].json["stream"] is True
    assert whole.json()["generated_text"] == "a text"
    assert whole.json()["details"]["finish_reason"] == "length"
    events = [json.loads(line[5:]) for line in streamed.text.splitlines() if line]
    assert "".join(event["token"]["text"] for event in events) == "a text"
    assert events[-1]["generated_text"] == "a text"
    assert events[-1]["details"]["generated_tokens"] == 2
    assert blocked.json()["generated_text"] == "Declined."
    assert blocked.headers["x-guardrail-decision"] == "block"
    assert wrong.status_code == 400
    assert wrong.json()["error_type"] == "validation"


async def test_hugging_faces_client_generates_and_streams(serve: Serve):
    async with fakes.upstream(fakes_protocols.tgi()) as model, serve(model.url, rules=RULES) as b:

        def ask() -> tuple[str, str, str]:
            client = huggingface_hub.InferenceClient(f"{b.url}/generate", token="none")
            whole = client.text_generation("Once", max_new_tokens=5)
            streamed = "".join(client.text_generation("Once", stream=True))
            blocked = client.text_generation("xyzzy", details=True)
            return whole, streamed, blocked.generated_text

        whole, streamed, blocked = await asyncio.to_thread(ask)
    assert whole == streamed == "a text"
    assert blocked == "Declined."


@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
async def test_a_blocked_answer_never_leaves_as_generated_text(serve: Serve, path: str):
    step = fakes_protocols.tgi("The magic word is xyzzy, friend.", chunk_characters=2)
    async with fakes.upstream(step) as model, serve(model.url, rules=RULES) as b:
        answer = await post(b, path, json={"inputs": "Once"})
    assert "xyzzy" not in answer.text and "magic" not in answer.text
    assert "Declined." in answer.text
