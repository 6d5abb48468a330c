"""Cutting spans out of texts."""

import pytest

from guardrails.redact import redacted, without
from guardrails.types import Action, Segment, Stage
from tests.factories import make_reason


@pytest.mark.parametrize(
    ("spans", "left"),
    [
        ([], "abcdef"),
        ([(0, 2, "x")], "[x]cdef"),
        ([(4, 6, "x")], "abcd[x]"),
        ([(3, 4, "y"), (0, 1, "x")], "[x]bc[y]ef"),
        ([(0, 4, "x"), (2, 5, "y")], "[x]f"),
        ([(0, 6, "x"), (1, 2, "y")], "[x]"),
        ([(1, 2, "x"), (2, 3, "y")], "a[x][y]def"),
    ],
)
def test_each_span_becomes_its_label(spans, left):
    assert without("abcdef", spans) == left


SEGMENT = Segment(Stage.OUTPUT, "assistant", 0, ("choices", 0, "text"), "call 555 now")


def cut(**changes):
    reason = make_reason(action=Action.REDACT, side=Stage.OUTPUT, **changes)
    return redacted({"choices": [{"text": SEGMENT.text}]}, (SEGMENT,), (reason,), Stage.OUTPUT)


def test_the_span_goes_from_the_body():
    assert cut(start=5, end=8)["choices"][0]["text"] == "call [insult] now"


def test_without_a_span_the_whole_text_goes():
    assert cut()["choices"][0]["text"] == "[insult]"


def test_shadow_rules_and_the_other_side_cut_nothing():
    body = {"choices": [{"text": "call 555 now"}]}
    for reason in (
        make_reason(action=Action.REDACT, side=Stage.OUTPUT, shadow=True),
        make_reason(action=Action.REDACT, side=Stage.INPUT),
        make_reason(action=Action.FLAG, side=Stage.OUTPUT),
    ):
        assert redacted(body, (SEGMENT,), (reason,), Stage.OUTPUT) is body


@pytest.mark.parametrize(
    ("start", "end", "left"), [(6, 9, {"a": "[insult]"}), (2, 3, {"[insult]": "bad"}), (4, 8, {})]
)
def test_in_an_object_the_span_goes_and_the_object_stays_one(start, end, left):
    body = {"input": {"a": "bad"}}
    segment = Segment(Stage.OUTPUT, "assistant", 0, ("input",), '{"a":"bad"}')
    reason = make_reason(action=Action.REDACT, side=Stage.OUTPUT, start=start, end=end)
    assert redacted(body, (segment,), (reason,), Stage.OUTPUT) == {"input": left}


def test_the_tokens_of_what_was_cut_out_of_an_answer_go_too():
    body = {"choices": [{"text": "call 555 now", "logprobs": {"tokens": ["call", "555"]}}]}
    reason = make_reason(action=Action.REDACT, side=Stage.OUTPUT, start=5, end=8)
    (choice,) = redacted(body, (SEGMENT,), (reason,), Stage.OUTPUT)["choices"]
    assert choice == {"text": "call [insult] now", "logprobs": None}
