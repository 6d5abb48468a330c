"""What leaves of an event where not all of it may."""

from guardrails.streams.events import Event, as_it_leaves, only
from guardrails.streams.lanes import Edit, Growing
from guardrails.types import Stage
from guardrails.wire.deltas import Delta, Lane


def test_what_was_cut_out_leaves_neither_as_text_nor_as_log_probabilities():
    lane = Growing(0, Lane(Stage.OUTPUT, "assistant", 0, ("choices", 0, "message", "content")))
    lane.grow("say xyzzy now")
    lane.cut_out([Edit(4, 9, "[forbidden]")])
    said = {"index": 0, "delta": {"content": "xyzzy"}, "logprobs": {"content": ["xyzzy"]}}
    delta = Delta(lane.lane, ("choices", 0, "delta", "content"), "xyzzy")
    event = Event({"choices": [said]}, [(lane, 9, delta)], 1)
    assert as_it_leaves(event, ()) == {
        "choices": [{"index": 0, "delta": {"content": "[forbidden]"}, "logprobs": None}]
    }
    assert as_it_leaves(event, {0}) is None


def test_of_an_event_only_some_choices_leave():
    event = {"id": "c", "choices": [{"index": 0}, {"index": 1}]}
    assert only(event, {1}) == {"id": "c", "choices": [{"index": 1}]}
    assert only(event, {2}) is None
    usage = {"choices": [], "usage": {}}
    assert only(usage, {1}) is usage
