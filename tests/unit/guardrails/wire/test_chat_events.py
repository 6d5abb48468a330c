"""Chunks that are no text make no lane."""

import pytest

from guardrails.wire.chat_events import deltas


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "delta": None},
        {"index": 0, "delta": {"role": "assistant", "content": ""}},
        {"index": 0, "delta": {"audio": {"id": "a", "data": "AAAA"}}},
        {"index": 0, "delta": {}, "logprobs": {"content": [{"token": "x"}]}},
    ],
)
def test_what_says_nothing_is_no_lane(choice):
    assert deltas({"choices": [choice]}) == []
