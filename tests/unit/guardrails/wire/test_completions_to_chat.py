"""A text completion said as one turn, and said back."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.completion_create_params import CompletionCreateParamsBase

from guardrails.errors import BadRequest
from guardrails.wire import completions
from guardrails.wire.chat_to_messages import LEFT_OUT
from guardrails.wire.chat_to_messages import REFUSED as REFUSED_BY_MESSAGES
from guardrails.wire.chat_to_messages import SAID as SAID_TO_MESSAGES
from guardrails.wire.completions_to_chat import COMPLETIONS_TO_CHAT, REFUSED, SAID
from tests.factories import make_exchange


def test_every_field_that_the_sdk_knows_is_said_refused_or_chats_own():
    known = set(CompletionCreateParamsBase.__annotations__)
    further = SAID_TO_MESSAGES | LEFT_OUT | REFUSED_BY_MESSAGES.keys()
    assert known <= SAID | REFUSED.keys() | further


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_prompt_is_a_turn_and_other_fields_pass(prompt: Any):
    told = COMPLETIONS_TO_CHAT.request({"prompt": prompt, "temperature": 0, "echo": False}, 0)
    turn = {"role": "user", "content": "Once"}
    assert told == {"messages": [turn], "max_tokens": 16, "temperature": 0}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 0}, "logprobs"),
    ],
)
def test_what_steers_how_a_text_goes_on_is_refused(fields: dict[str, Any], param: str):
    with pytest.raises(BadRequest) as raised:
        COMPLETIONS_TO_CHAT.request({"prompt": "a", **fields}, 0)
    assert raised.value.param == param


def test_an_answer_and_its_stream_are_texts():
    head = {"id": "c", "model": "m", "usage": {"completion_tokens": 2}}
    choice = {"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}
    whole = COMPLETIONS_TO_CHAT.answer([{**head, "choices": [choice]}], make_exchange())
    assert COMPLETIONS_TO_CHAT.is_answer(whole)
    assert completions.outputs(whole)[0][0].text == "ab"
    fold, events = completions.Fold(), COMPLETIONS_TO_CHAT.events(make_exchange())
    for delta, reason in (({"content": "a"}, None), ({"content": "b"}, "stop")):
        chunk = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for event in events.add(chunk):
            fold.add(event)
    assert list(events.end()) == []
    assert fold.ended
    assert fold.result() == whole


def test_an_error_stays_as_it_is():
    body = {"error": {"message": "x"}}
    assert COMPLETIONS_TO_CHAT.error(body, make_exchange()) is body
