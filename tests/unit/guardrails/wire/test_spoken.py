"""One request as upstreams of each kind hear it."""

import orjson
import pytest

from guardrails.errors import BadRequest, UpstreamError
from guardrails.settings import UpstreamSettings
from guardrails.wire import chat, embeddings, messages
from guardrails.wire.chat_to_messages import CHAT_TO_MESSAGES
from guardrails.wire.responses_to_chat import RESPONSES_TO_CHAT
from guardrails.wire.spoken import Spoken, Through
from tests.factories import make_exchange


def upstream(kind):
    return UpstreamSettings(name=kind, url="http://x/v1", model="m", served_as="in", speaks=kind)


def spoken(wire=messages):
    prompt = {"model": "m", "messages": [{"role": "user", "content": "a"}], "stop_sequences": ["x"]}
    return Spoken(make_exchange(reply=None, prompt=prompt), wire)


@pytest.mark.parametrize(
    ("kind", "path", "field"),
    [("anthropic", "/messages", "stop_sequences"), ("openai", "/chat/completions", "stop")],
)
def test_each_upstream_hears_its_own_protocol(kind, path, field):
    said = spoken()
    assert said.path(upstream(kind)) == path
    body = orjson.loads(said.encoder(0)(upstream(kind)))
    assert body["model"] == "in"
    assert body[field] == ["x"]


def test_what_an_upstream_cannot_be_asked_is_404():
    with pytest.raises(BadRequest, match="speaks anthropic") as raised:
        spoken(embeddings).path(upstream("anthropic"))
    assert raised.value.status == 404


async def told(kind, *chunks):
    said = spoken()
    said.path(upstream(kind))

    async def sent():
        for chunk in chunks:
            yield chunk

    return b"".join([chunk async for chunk in said.chunks(kind, sent())])


async def test_a_stream_is_translated_wherever_its_chunks_break():
    data = b"".join(
        chat.frame({"id": "c", "choices": [{"index": 0, "delta": {"content": text}, **end}]})
        for text, end in [("a", {}), ("b", {"finish_reason": "stop"})]
    )
    whole = await told("openai", data, chat.END)
    assert b'"text":"a"' in whole and whole.endswith(messages.frame({"type": "message_stop"}))
    cut = [data[i : i + 1] for i in range(len(data))]
    assert await told("openai", *cut) == whole
    assert await told("anthropic", data) == data


@pytest.mark.parametrize("data", [b"data: no\n\n", b"data: []\n\n", b'data: {"error": {}}\n\n'])
async def test_a_stream_that_cannot_be_read_is_an_upstream_error(data):
    with pytest.raises(UpstreamError):
        await told("openai", data)


def test_headers_are_the_callers_where_it_is_understood_and_the_translations_elsewhere():
    given = [(b"anthropic-version", b"2023-01-01")]
    assert spoken().headers(given)(upstream("anthropic")) == given
    assert spoken().headers(given)(upstream("openai")) == ()
    ((name, _),) = spoken(chat).headers([])(upstream("anthropic"))
    assert name == b"anthropic-version"


def test_one_translation_goes_through_another():
    exchange = make_exchange()
    through = Through(RESPONSES_TO_CHAT, CHAT_TO_MESSAGES)
    assert through.PATH == "/messages"
    assert through.request({"input": "hi"}, 0)["messages"][0]["role"] == "user"
    message = {"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"}
    assert through.is_answer(message)
    answer = through.answer([message], exchange)
    assert answer["output"][0]["content"][0]["text"] == "a"
    events = through.events(exchange)
    told = [t for event in messages.unfold(message, include_usage=True) for t in events.add(event)]
    told += events.end()
    assert told[-1]["type"] == "response.completed"
    assert through.error({"error": {"message": "x"}}, exchange)["error"]["message"] == "x"
