"""Holding a stream back and letting it go."""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import UpstreamError
from guardrails.streaming import HeldStream
from guardrails.types import Exchange
from guardrails.wire import chat
from tests.factories import make_exchange


class Sink:
    """Keeps what a caller would get."""

    def __init__(self) -> None:
        self.started = 0
        self.data = b""

    async def start(self, exchange: Exchange) -> None:
        self.started += 1

    async def write(self, data: bytes) -> None:
        self.data += data


def chunk(text, finish=None, **fields):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "c", "model": "demo-model", "choices": [choice], **fields}


def wire(*events):
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)


STREAM = wire(chunk("Hel"), chunk("lo"), chunk("", "stop")) + b"data: [DONE]\n\n"
EXCHANGE = make_exchange(model="demo-model", request={"messages": [], "stream": True})


def held(most_bytes=10_000):
    sink = Sink()
    return HeldStream(chat, sink, most_bytes), sink


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
async def test_nothing_leaves_before_release_and_then_what_came(cuts):
    stream, sink = held()
    borders = sorted({0, len(STREAM), *cuts})
    for start, end in itertools.pairwise(borders):
        await stream.take(STREAM[start:end], EXCHANGE)
    answer = await stream.end(EXCHANGE)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert (sink.started, sink.data) == (0, b"")
    await stream.release(EXCHANGE)
    assert (sink.started, sink.data) == (1, STREAM)


async def test_a_relayed_stream_leaves_event_by_event():
    stream, sink = held()
    stream.relaying = True
    first = wire(chunk("Hel"))
    await stream.take(STREAM[: len(first) + 5], EXCHANGE)
    assert (sink.started, sink.data) == (1, first)
    await stream.take(STREAM[len(first) + 5 :], EXCHANGE)
    await stream.end(EXCHANGE)
    await stream.release(EXCHANGE)
    assert (sink.started, sink.data) == (1, STREAM)


async def test_the_policys_answer_leaves_in_place_of_what_was_held():
    stream, sink = held()
    await stream.take(STREAM, EXCHANGE)
    await stream.end(EXCHANGE)
    answer = {
        "id": "c",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "No."}}],
    }
    await stream.release(EXCHANGE.evolve(answer=answer))
    assert b"Hel" not in sink.data
    assert b"No." in sink.data
    assert sink.data.endswith(b"data: [DONE]\n\n")


async def test_the_caller_sees_the_name_it_asked_for():
    stream, sink = held()
    await stream.take(wire(chunk("x", "stop", model="/weights/x@main")), EXCHANGE)
    await stream.end(EXCHANGE)
    await stream.release(EXCHANGE)
    assert b"/weights" not in sink.data
    assert b'"model":"demo-model"' in sink.data


@pytest.mark.parametrize(
    "stream_bytes",
    [
        b"data: nonsense\n\n",
        b"data: [1]\n\n",
        wire({"error": {"message": "out of memory"}}),
        wire(chunk("cut off")),
        b"",
    ],
)
async def test_a_stream_that_is_none_is_an_upstream_error(stream_bytes):
    stream, sink = held()
    with pytest.raises(UpstreamError):
        await stream.take(stream_bytes, EXCHANGE)
        await stream.end(EXCHANGE)
    assert sink.data == b""


async def test_an_answer_larger_than_allowed_is_given_up():
    stream, _ = held(most_bytes=500)
    with pytest.raises(UpstreamError, match="too large"):
        for _ in range(100):
            await stream.take(wire(chunk("x" * 20)), EXCHANGE)
