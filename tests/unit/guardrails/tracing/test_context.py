"""Taking a trace over and handing it on."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.tracing.context import begin

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def begun(*headers: tuple[bytes, bytes], share: float = 1.0):
    return begin(headers, Random(5), share)


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True)])
def test_the_callers_trace_and_decision_are_taken_over(flags: str, sampled: bool):
    header = f"00-{TRACE}-{SPAN}-{flags}".encode()
    context = begun((b"traceparent", header), (b"tracestate", b"a=1"), (b"tracestate", b"b=2"))
    assert (f"{context.trace:032x}", f"{context.parent:016x}") == (TRACE, SPAN)
    assert context.sampled is sampled
    (name, told), state = context.headers()
    assert name == b"traceparent"
    assert told == f"00-{TRACE}-{context.client:016x}-0{int(sampled)}".encode()
    assert state == (b"tracestate", b"a=1,b=2")
    assert context.client not in (context.server, context.parent)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"nonsense",
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-01-more".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
    ],
)
def test_what_does_not_follow_the_standard_begins_a_trace_of_our_own(header: bytes):
    context = begun((b"traceparent", header), (b"tracestate", b"a=1"))
    assert context.parent == 0
    assert context.trace != int(TRACE, 16)
    assert len(context.headers()) == 1


def test_two_parents_are_none_and_a_later_version_is_read_as_far_as_it_is_known():
    header = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    assert begun(header, header).parent == 0
    assert begun((b"traceparent", f"01-{TRACE}-{SPAN}-01-new".encode())).parent == int(SPAN, 16)


def test_of_traces_that_begin_here_a_share_is_sampled():
    rng = Random(5)
    kept = sum(begin((), rng, 0.2).sampled for _ in range(2_000))
    assert 320 < kept < 480


@given(st.binary(max_size=80))
def test_no_header_breaks_it(value: bytes):
    begin([(b"traceparent", value)], Random(1), 1.0)
