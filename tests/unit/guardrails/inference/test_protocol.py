from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.inference import protocol
from guardrails.inference.protocol import (
    Cancel,
    Describe,
    Described,
    Embed,
    Embeddings,
    FrameReader,
    FrameTooLarge,
    Loaded,
    Refused,
    Reply,
    Request,
    Score,
    Scored,
    Scores,
    decode_reply,
    decode_request,
    encode,
)

REQUESTS: list[Request] = [
    Describe(1),
    Score(2, "compact", ("one", "zwei ü 🦜", ""), 12.5),
    Embed(3, ("one",), 1e6),
    Cancel(4),
]
REPLIES: list[Reply] = [
    Described(1, {"compact": Loaded("v1", ("toxic", "rude"))}),
    Scores(2, Scored([[0.5, 1.0]], [[None, (3, 9)]], ("text 1",))),
    Embeddings(3, [[0.25, -0.5]]),
    Refused(4, "overloaded"),
]


@given(cuts=st.lists(st.integers(0, 2_000), max_size=30))
def test_messages_survive_any_cutting_of_the_stream(cuts: list[int]) -> None:
    for messages, decode in ((REQUESTS, decode_request), (REPLIES, decode_reply)):
        stream = b"".join(encode(message) for message in messages)
        places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        frames = FrameReader()
        read = [
            decode(body)
            for start, end in itertools.pairwise(places)
            for body in frames.feed(stream[start:end])
        ]
        assert read == messages


def test_a_frame_that_is_too_long_is_refused_at_its_header() -> None:
    with pytest.raises(FrameTooLarge):
        list(FrameReader().feed((protocol.MAX_FRAME_BYTES + 1).to_bytes(4, "big")))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameTooLarge):
        encode(Embed(1, ("x" * protocol.MAX_FRAME_BYTES,), 1.0))
