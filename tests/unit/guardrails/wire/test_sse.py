"""Events out of bytes, however they are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import UpstreamError
from guardrails.wire.sse import Events


def parsed(*chunks):
    events = Events()
    found = [data for chunk in chunks for data in events.feed(chunk)]
    return found + list(events.end())


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\ndata: a\ndata: b\n\n", [b"a\nb"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: a\n\ndata: [DONE]", [b"a", b"[DONE]"]),
        (b"", []),
    ],
)
def test_events_are_cut_at_empty_lines(stream, events):
    assert parsed(stream) == events


lines = st.sampled_from([b"data: x", b"data: {}", b": c", b"", b"event: e", b"data:y"])


@given(st.lists(lines, max_size=20), st.lists(st.integers(0, 120), max_size=8), st.booleans())
def test_where_chunks_break_changes_nothing(written, cuts, crlf):
    stream = (b"\r\n" if crlf else b"\n").join(written) + b"\n\n"
    borders = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(borders)]
    assert parsed(*chunks) == parsed(stream)


def test_an_endless_event_is_an_error_not_a_full_memory():
    events = Events(most_bytes=1_000)
    with pytest.raises(UpstreamError, match="too large"):
        for _ in range(100):
            list(events.feed(b"data: " + b"x" * 50))
