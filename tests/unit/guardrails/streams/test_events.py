"""What leaves of an event where not all of it may."""

from guardrails.streams.events import only, without_logprobs


def test_log_probabilities_go_with_the_text_that_was_cut():
    event = {"choices": [{"index": 0, "logprobs": {"content": ["x"]}}, {"index": 1}]}
    assert without_logprobs(event) == {"choices": [{"index": 0, "logprobs": None}, {"index": 1}]}
    assert without_logprobs({"type": "delta"}) == {"type": "delta"}


def test_of_an_event_only_some_choices_leave():
    event = {"id": "c", "choices": [{"index": 0}, {"index": 1}]}
    assert only(event, {1}) == {"id": "c", "choices": [{"index": 1}]}
    assert only(event, {2}) is None
    usage = {"choices": [], "usage": {}}
    assert only(usage, {1}) is usage
