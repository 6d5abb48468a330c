from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest

from guardrails.demo.completion import merge_answers, merge_streams, read_request
from guardrails.errors import BadRequest

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def read(body: object, required: str = "messages"):
    return read_request(json.dumps(body).encode(), "m", required)


def test_fields_that_the_server_would_refuse_are_left_out():
    request = read({**CHAT, "top_k": 5, "store": True, "stop": None, "temperature": 0})
    assert json.loads(request.body) == {**CHAT, "temperature": 0, "max_tokens": 160}


def test_a_request_without_a_model_gets_ours():
    assert json.loads(read({"messages": CHAT["messages"]}).body)["model"] == "m"


def test_biases_become_numbers_that_the_server_takes():
    body = read({**CHAT, "logit_bias": {"5": 1}}).body
    assert b'"5":1.0' in body


def test_a_list_of_one_prompt_is_that_prompt():
    assert json.loads(read({"model": "m", "prompt": ["a"]}, "prompt").body)["prompt"] == "a"


@pytest.mark.parametrize(
    ("body", "choices", "stream", "usage_wanted"),
    [
        ({}, 1, False, False),
        ({"n": 3}, 3, False, False),
        ({"n": None, "stream": True}, 1, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, 1, True, True),
        ({"stream_options": {"include_usage": True}}, 1, False, False),
    ],
)
def test_what_the_caller_asks_for_besides_is_kept(body, choices, stream, usage_wanted):
    request = read({**CHAT, **body})
    assert (request.choices, request.stream, request.usage_wanted) == (
        choices,
        stream,
        usage_wanted,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{"content": "no role"}]}, "messages"),
        ({"n": 0.5}, "n"),
        ({"n": 99}, "n"),
        ({"max_tokens": "x"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": "warm"}, "temperature"),
    ],
)
def test_a_wrong_type_is_refused_by_its_field(change, field):
    with pytest.raises(BadRequest) as refused:
        read({**CHAT, **change})
    assert refused.value.param == field


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null"])
def test_a_body_that_is_no_object_is_refused(raw):
    with pytest.raises(BadRequest):
        read_request(raw, "m", "messages")


def test_another_model_is_not_found():
    with pytest.raises(BadRequest) as refused:
        read({**CHAT, "model": "other"})
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


def answer(text: str, tokens: int) -> dict:
    return {
        "id": text,
        "model": "m@main",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": text}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens},
    }


def test_several_answers_become_one_with_its_choices_numbered():
    merged = merge_answers([answer("a", 1), answer("b", 2)], "m")
    assert [(c["index"], c["message"]["content"]) for c in merged["choices"]] == [
        (0, "a"),
        (1, "b"),
    ]
    assert merged["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert (merged["id"], merged["model"]) == ("a", "m")


def test_a_call_has_no_content():
    call = answer("", 1)
    call["choices"][0]["message"]["tool_calls"] = [{"id": "1"}]
    assert merge_answers([call], "m")["choices"][0]["message"]["content"] is None


def stream(identifier: str, words: str, size: int) -> AsyncGenerator[bytes, None]:
    """Events as `transformers serve` sends them, cut into pieces of `size` bytes."""
    events = [{"delta": {"role": "assistant"}}, *({"delta": {"content": w}} for w in words)]
    rows = [{"choices": [{"index": 0, **event}]} for event in events]
    usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}
    rows.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
    head = {"id": identifier, "created": 1, "object": "chunk", "model": "m@main"}
    whole = b"".join(b"data: %s\n\n" % json.dumps({**head, **row}).encode() for row in rows)

    async def pieces() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(whole), size):
            yield whole[start : start + size]

    return pieces()


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("usage", [True, False])
async def test_streams_follow_one_another_under_one_id(size, usage):
    streams = [stream("a", "xy", size), stream("b", "z", size)]
    *events, done = [event async for event in merge_streams(streams, "m", usage=usage)]
    assert done == b"[DONE]"
    chunks = [json.loads(event) for event in events]
    assert {(c["id"], c["model"]) for c in chunks} == {("a", "m")}
    text = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk["choices"]:
            text[choice["index"]] += choice["delta"].get("content", "")
    assert text == {0: "xy", 1: "z"}
    if usage:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["completion_tokens"] == 3
    else:
        assert all("usage" not in chunk for chunk in chunks)


async def test_a_fault_within_a_stream_ends_it_in_the_envelope():
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b'data: {"error": "out of memory"}\n\n'

    events = [event async for event in merge_streams([broken()], "m", usage=True)]
    assert json.loads(events[0])["error"]["message"] == "out of memory"
    assert events[1:] == [b"[DONE]"]


@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ({}, {"max_tokens": 160}),
        ({"max_tokens": None}, {"max_tokens": 160}),
        ({"max_tokens": 900}, {"max_tokens": 900}),
        ({"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
    ],
)
def test_who_sets_no_limit_does_not_wait_for_minutes(asked, limit):
    raw = json.dumps({"messages": [{"role": "user", "content": "Hello"}], **asked}).encode()
    sent = json.loads(read_request(raw, "small", "messages").body)
    assert {name: sent[name] for name in sent if name.startswith("max_")} == limit
