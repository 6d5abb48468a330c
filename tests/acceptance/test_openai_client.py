"""The official OpenAI client against the running product and the real model."""

from __future__ import annotations

import json
from typing import Literal
from urllib.request import urlopen

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

pytestmark = pytest.mark.timeout(400)

MODEL = "smollm2-135m-instruct"
EMBEDDINGS = "all-minilm-l6-v2"
QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
ABUSE = [{"role": "user", "content": "You are a stupid worthless idiot and I hate you."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def test_a_plain_answer(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=30, temperature=0
    )
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0


def test_an_answer_is_recorded_under_its_request_id_and_shown(client, product):
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=QUESTION, max_tokens=12
    )
    identifier = raw.headers["x-request-id"]
    row = product.exchange(identifier)
    assert row["decision"] == raw.headers["x-guardrail-decision"] == "allow"
    assert row["gen_ai_request_model"] == MODEL
    assert row["gen_ai_usage_output_tokens"] == raw.parse().usage.completion_tokens
    with urlopen(f"{product.pages}/exchanges", timeout=10) as page:
        shown = page.read().decode()
    assert identifier in shown


async def test_the_asynchronous_client(product):
    async with AsyncOpenAI(base_url=f"{product.api}/v1", api_key="none") as client:
        answer = await client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8)
    assert answer.choices[0].message.content


def test_a_stream_gives_the_same_text_and_its_usage(client):
    request = {"model": MODEL, "messages": QUESTION, "max_tokens": 20, "temperature": 0}
    whole = client.chat.completions.create(**request)
    with client.chat.completions.create(
        **request, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


async def test_an_asynchronous_stream(product):
    async with AsyncOpenAI(base_url=f"{product.api}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=8, stream=True
        )
        reasons = [c.choices[0].finish_reason async for c in stream if c.choices]
    assert reasons[-1] in ("stop", "length")


def test_two_choices(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=8, n=2, temperature=0.9
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)


def test_two_streamed_choices(client):
    with client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=6, n=2, stream=True
    ) as stream:
        seen = {c.choices[0].index for c in stream if c.choices and c.choices[0].delta.content}
    assert seen == {0, 1}


class Colour(BaseModel):
    name: Literal["red", "green", "blue"]
    warm: bool


def test_structured_output_is_parsed_by_the_client(client):
    messages = [{"role": "user", "content": "Which colour has the sky on a clear day?"}]
    answer = client.chat.completions.parse(
        model=MODEL, messages=messages, response_format=Colour, max_tokens=40
    )
    assert isinstance(answer.choices[0].message.parsed, Colour)


def test_a_tool_that_must_be_called_is_called(client, product):
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=[{"role": "user", "content": "How is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=60,
    )
    choice = raw.parse().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.name == "get_weather"
    assert isinstance(json.loads(choice.message.tool_calls[0].function.arguments)["city"], str)
    assert product.exchange(raw.headers["x-request-id"])["decision"] == "allow"


def test_a_streamed_tool_call(client):
    with client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "How is the weather in Rome?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=60,
        stream=True,
    ) as stream:
        deltas = [c.choices[0].delta for c in stream if c.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert calls[0].function.name == "get_weather"
    json.loads("".join(call.function.arguments or "" for call in calls))


def test_a_turn_with_tools_and_their_results(client):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    messages = [
        {"role": "user", "content": "How is the weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny, 25 degrees."},
    ]
    answer = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[WEATHER], tool_choice="none", max_tokens=20
    )
    assert answer.choices[0].message.content


def test_a_text_completion(client):
    answer = client.completions.create(
        model=MODEL, prompt="The capital of France is", max_tokens=5, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def test_the_models_are_listed(client):
    assert [model.id for model in client.models.list()] == [MODEL, EMBEDDINGS]


def test_embeddings_as_the_client_asks_for_them_and_as_plain_numbers(client, product):
    # The client asks for base64 by itself, and gives numbers back.
    raw = client.embeddings.with_raw_response.create(model=EMBEDDINGS, input="A stair's handrail")
    packed = raw.parse().data[0].embedding
    request = {"model": EMBEDDINGS, "encoding_format": "float"}
    plain = client.embeddings.create(input="A stair's handrail", **request)
    assert packed == pytest.approx(plain.data[0].embedding, abs=1e-5)
    texts = ["Who guards the guards?", "A stair's handrail"]
    both = client.embeddings.create(model=EMBEDDINGS, input=texts)
    assert [len(row.embedding) for row in both.data] == [384, 384]
    assert product.exchange(raw.headers["x-request-id"])["gen_ai_request_model"] == EMBEDDINGS


def test_moderation_by_our_own_detectors(client):
    result = client.moderations.create(input=[ABUSE[0]["content"], "Good morning!"])
    assert [row.flagged for row in result.results] == [True, False]


def test_a_blocked_question_has_an_ordinary_answer_and_is_recorded(client, product):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=ABUSE)
    choice = raw.parse().choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.message.content
    assert raw.headers["x-guardrail-decision"] == "block"
    assert product.exchange(raw.headers["x-request-id"])["decision"] == "block"


def test_a_blocked_stream_ends_as_a_stream_does(client):
    with client.chat.completions.create(model=MODEL, messages=ABUSE, stream=True) as stream:
        reasons = [chunk.choices[0].finish_reason for chunk in stream if chunk.choices]
    assert reasons[-1] == "content_filter"


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert refused.value.code == "model_not_found"


def test_a_request_without_messages_is_refused(client):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=[])
