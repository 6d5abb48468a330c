"""A stream is put together as it comes, also what has left already."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import UpstreamError
from guardrails.streams.intake import Intake
from guardrails.wire import chat

DATA = [
    orjson.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": word}}]})
    for word in ("a ", "stair ", "has ", "steps.")
]
END = orjson.dumps({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


def wire(*data: bytes) -> bytes:
    return b"".join(b"data: " + one + b"\n\n" for one in data)


def taken(intake: Intake, chunks: list[bytes], model: str = "m") -> list[bytes]:
    """The chunks that may pass by, in a stream that is read to its end."""
    passed = []
    for chunk in chunks:
        if intake.pass_by(chunk):
            passed.append(chunk)
        else:
            list(intake.feed(chunk, model))
    list(intake.end(model))
    return passed


@given(st.lists(st.integers(1, 400), max_size=8))
def test_however_a_stream_is_cut_it_comes_to_the_same_answer(cuts: list[int]):
    whole, chunks, at = wire(*DATA, END, b"[DONE]"), [], 0
    for size in cuts:
        chunks.append(whole[at : at + size])
        at += size
    intake = Intake(chat, 10**6)
    taken(intake, [*filter(None, chunks), whole[at:]])
    (choice,) = intake.result()["choices"]
    assert choice["message"]["content"] == "a stair has steps."


def test_what_is_not_changed_passes_by_and_what_may_end_it_is_read_first():
    chunks = [wire(one) for one in (*DATA, END)] + [wire(b"[DONE]")]
    assert taken(Intake(chat, 10**6), chunks) == chunks[1:-1]
    # The model's name is another one, so each event is changed.
    assert taken(Intake(chat, 10**6), chunks, model="mine") == []


def test_many_that_pass_by_are_put_together_before_the_end():
    intake = Intake(chat, 10**6)
    taken(intake, [wire(DATA[0])] * 200 + [wire(END)])
    assert intake.result()["choices"][0]["message"]["content"] == "a " * 200


@pytest.mark.parametrize("last", [b"{", b"7", b'{"error": {"message": "x"}}'])
def test_a_fault_never_passes_by(last: bytes):
    intake = Intake(chat, 10**6)
    list(intake.feed(wire(DATA[0]), "m"))
    with pytest.raises(UpstreamError):
        taken(intake, [wire(last)])


def test_a_stream_without_an_end_has_broken_off():
    with pytest.raises(UpstreamError, match="broke off"):
        taken(Intake(chat, 10**6), [wire(*DATA)])
