"""Counting tokens: checked like a message, answered with a number."""

from guardrails.types import Action, Verdict
from guardrails.wire import count_tokens
from tests.factories import make_exchange, make_reason


def test_what_is_counted_is_read_like_a_message():
    body = {"messages": [{"role": "user", "content": "a"}], "system": "b"}
    assert [segment.text for segment in count_tokens.inputs(body)[0]] == ["b", "a"]
    assert not count_tokens.asks_stream("/v1/messages/count_tokens", {"stream": True})


def test_a_number_is_an_answer_and_a_block_is_an_error():
    assert count_tokens.is_answer({"input_tokens": 3})
    assert not count_tokens.is_answer({"content": []})
    assert count_tokens.outputs({"input_tokens": 3}) == ((), ())
    exchange = make_exchange(reply=None, verdict=Verdict(Action.BLOCK, (make_reason(),)))
    assert count_tokens.blocked(exchange, "No.")["error"]["message"] == "No."
