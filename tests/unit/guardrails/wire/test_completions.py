"""Text completions."""

import pytest

from guardrails.errors import BadRequest
from guardrails.types import Action, Stage, Verdict
from guardrails.wire import completions
from tests.factories import make_exchange, make_reason


@pytest.mark.parametrize("prompt", [None, [], {}, 3, [{}], ["x"] * 6])
def test_a_prompt_that_cannot_be_read_is_refused(prompt):
    with pytest.raises(BadRequest):
        completions.check_request({"prompt": prompt}, most_messages=5)


@pytest.mark.parametrize(
    ("prompt", "found", "uncovered"),
    [
        ("one", ["one"], ()),
        (["one", "two"], ["one", "two"], ()),
        ([1, 2, 3], [], ("prompt: tokens",)),
        ([[1], [2]], [], ("prompt: tokens",)),
    ],
)
def test_every_prompt_is_found_and_tokens_are_named(prompt, found, uncovered):
    completions.check_request({"prompt": prompt}, most_messages=5)
    segments, skipped = completions.inputs({"prompt": prompt})
    assert [segment.text for segment in segments] == found
    assert skipped == uncovered


def test_a_blocked_prompt_gets_one_choice_for_each_that_was_asked_for():
    exchange = make_exchange(
        reply=None,
        protocol="completions",
        request={"prompt": ["a", "b"], "n": 2},
        verdict=Verdict(Action.BLOCK, (make_reason(),)),
    )
    answer = completions.blocked(exchange, "No.")
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert {choice["text"] for choice in answer["choices"]} == {"No."}
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"content_filter"}


def test_a_stream_folds_and_unfolds():
    fold = completions.Fold()
    for chunk in [
        {"id": "c", "choices": [{"index": 0, "text": "He", "finish_reason": None}]},
        {"id": "c", "choices": [{"index": 1, "text": "Yo", "finish_reason": "stop"}]},
        {"id": "c", "choices": [{"index": 0, "text": "llo", "finish_reason": "length"}]},
    ]:
        fold.add(chunk)
    answer = fold.result()
    assert [(c["text"], c["finish_reason"]) for c in answer["choices"]] == [
        ("Hello", "length"),
        ("Yo", "stop"),
    ]
    assert [s.text for s in completions.outputs(answer)[0]] == ["Hello", "Yo"]
    assert all(s.stage is Stage.OUTPUT for s in completions.outputs(answer)[0])
    again = completions.Fold()
    for chunk in completions.unfold(answer, include_usage=False):
        again.add(chunk)
    assert again.result() == answer


def test_the_lanes_of_a_stream_are_the_texts_of_its_choices():
    event = {"choices": [{"index": 1, "text": "Yo"}, {"index": 0, "text": ""}]}
    (delta,) = completions.deltas(event)
    assert (delta.lane.index, delta.lane.pointer) == (1, ("choices", 1, "text"))
    assert (delta.pointer, delta.text) == (("choices", 0, "text"), "Yo")


@pytest.mark.parametrize(("released", "text"), [(False, "No."), (True, "")])
def test_a_stopped_stream_says_the_notice_only_if_nothing_was_said(released, text):
    exchange = make_exchange(
        reply=None,
        protocol="completions",
        request={"prompt": "a"},
        verdict=Verdict(Action.BLOCK, (make_reason(),)),
    )
    (event,) = completions.stopped(exchange, "No.", released)
    assert event["choices"][0]["text"] == text
    assert event["choices"][0]["finish_reason"] == "content_filter"
