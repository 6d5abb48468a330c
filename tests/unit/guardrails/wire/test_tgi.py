"""Text Generation Inference: what is checked, asked of the upstream, streamed and stopped."""

import pytest

from guardrails.errors import BadRequest
from guardrails.types import Action, Verdict
from guardrails.wire import tgi
from guardrails.wire.pointers import found_at
from tests.factories import make_exchange, make_reason

TO_COMPLETIONS = tgi.TRANSLATIONS["openai"]


@pytest.mark.parametrize("broken", [{}, {"inputs": 3}, {"inputs": "x", "parameters": []}])
def test_a_request_that_cannot_be_read_is_refused(broken):
    with pytest.raises(BadRequest):
        tgi.check_request(broken, most_messages=5)


def test_the_prompt_and_the_grammar_are_found():
    grammar = {"type": "json", "value": {"a": "b"}}
    body = {"inputs": "x", "parameters": {"grammar": grammar}}
    assert [s.text for s in tgi.inputs(body)[0]] == ["x", '{"type":"json","value":{"a":"b"}}']


@pytest.mark.parametrize(
    ("path", "body", "stream"),
    [
        ("/generate", {}, False),
        ("/generate", {"stream": True}, True),
        ("/generate_stream", {}, True),
        ("/other/generate_stream", {"stream": False}, True),
    ],
)
def test_the_path_or_the_body_asks_for_a_stream(path, body, stream):
    assert tgi.asks_stream(path, body) is stream


def test_without_a_name_the_first_model_is_meant():
    assert tgi.model_of("/generate", {}, ["a", "b"]) == "a"
    assert tgi.model_of("/generate", {"model": "b"}, ["a", "b"]) == "b"
    with pytest.raises(BadRequest):
        tgi.model_of("/generate", {}, [])


def test_the_parameters_are_said_in_completions_words():
    parameters = {"max_new_tokens": 5, "do_sample": False, "stop": ["x"], "watermark": True}
    asked = TO_COMPLETIONS.request({"inputs": "p", "parameters": parameters}, 0)
    assert asked == {"prompt": "p", "max_tokens": 5, "stop": ["x"], "temperature": 0.0}
    assert TO_COMPLETIONS.request({"inputs": "p"}, 0)["max_tokens"] == 100
    with pytest.raises(BadRequest):
        TO_COMPLETIONS.request(
            {"inputs": "p", "parameters": {"grammar": {"type": "regex", "value": "."}}}, 0
        )


@pytest.mark.parametrize(
    ("parameters", "text", "reason"),
    [
        ({}, "t", None),
        ({"details": True}, "t", "eos_token"),
        ({"return_full_text": True}, "pt", None),
    ],
)
def test_a_completion_becomes_a_generated_text(parameters, text, reason):
    body = {"inputs": "p", "parameters": parameters}
    choice = {"text": "t", "finish_reason": "stop"}
    used = {"prompt_tokens": 1, "completion_tokens": 2}
    answer = TO_COMPLETIONS.answer(
        [{"choices": [choice], "usage": used}], make_exchange(reply=None, request=body, prompt=body)
    )
    assert answer["generated_text"] == text
    assert answer.get("details", {}).get("finish_reason") == reason
    assert tgi.usage(answer).output_tokens == 2


def translated(*chunks):
    events = TO_COMPLETIONS.events(make_exchange(reply=None))
    return [event for chunk in chunks for event in events.add(chunk)] + list(events.end())


def test_a_stream_is_tokens_and_an_event_that_says_all_of_it():
    events = translated(
        {"choices": [{"text": "a"}]},
        {"choices": [{"text": "b", "finish_reason": "length"}]},
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 9}},
    )
    assert [event["token"]["text"] for event in events] == ["a", "b", ""]
    assert events[-1]["generated_text"] == "ab"
    assert events[-1]["details"]["finish_reason"] == "length"
    assert events[-1]["details"]["generated_tokens"] == 9
    fold = tgi.Fold()
    for event in events:
        fold.add(event)
        for delta in tgi.deltas(event):
            assert found_at(event, delta.pointer) == delta.text
    assert fold.ended
    assert [s.text for s in tgi.outputs(fold.result())[0]] == ["ab"]
    assert translated({"choices": [{"text": "a"}]})[-1]["generated_text"] is None


def test_what_the_last_event_does_not_own_up_to_is_checked_all_the_same():
    fold = tgi.Fold()
    fold.add(tgi.token_event(1, "vile"))
    fold.add({**tgi.token_event(2, ""), "generated_text": "nice"})
    assert {s.text for s in tgi.outputs(fold.result())[0]} == {"nice", "vile"}


@pytest.mark.parametrize(("released", "text"), [(False, "No."), (True, "good")])
def test_a_stopped_stream_says_what_was_let_out_or_the_notice(released, text):
    exchange = make_exchange(
        reply=None, stream=True, request={}, verdict=Verdict(Action.BLOCK, (make_reason(),))
    )
    sent = tgi.Sent()
    if released:
        sent.add(tgi.token_event(1, "good"))
    last = list(tgi.stopped(exchange, "No.", released, sent))[-1]
    assert last["generated_text"] == text
    assert last["details"]["finish_reason"] == "stop_sequence"
    assert last["guardrail"]["decision"] == "block"
