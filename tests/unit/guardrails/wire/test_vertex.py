"""Vertex predictions: what is checked, what is asked of the upstream, what is answered."""

import pytest

from guardrails.errors import BadRequest
from guardrails.types import Action, Detection, Stage, Verdict
from guardrails.wire import vertex
from guardrails.wire.chat import WITHHELD
from tests.factories import make_check, make_exchange, make_reason

PROMPT = {"prompt": "a"}
CHAT = {
    "context": "c",
    "examples": [{"input": {"content": "e"}, "output": {"content": "f"}}],
    "messages": [{"author": "user", "content": "m"}, {"author": "bot", "content": "n"}],
}
TO_CHAT = vertex.TRANSLATIONS["openai"]


@pytest.mark.parametrize(
    ("broken", "param"),
    [
        ({}, "instances"),
        ({"instances": ["x"]}, "instances[0]"),
        ({"instances": [{}]}, "instances[0].prompt"),
        ({"instances": [{"messages": ["x"]}]}, "instances[0].messages"),
        ({"instances": [{"prompt": "a", "context": 3}]}, "instances[0].context"),
        ({"instances": [{"prompt": "a", "examples": [3]}]}, "instances[0].examples"),
        ({"instances": [PROMPT], "parameters": []}, "parameters"),
        ({"instances": [PROMPT] * 6}, "instances"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_by_its_field(broken, param):
    with pytest.raises(BadRequest) as raised:
        vertex.check_request(broken, most_messages=5)
    assert raised.value.param == param


def test_every_text_of_every_instance_is_found():
    segments, _ = vertex.inputs({"instances": [PROMPT, CHAT]})
    assert [(s.index, s.role, s.text) for s in segments] == [
        (0, "user", "a"), (1, "system", "c"), (1, "user", "m"), (1, "assistant", "n"),
        (1, "user", "e"), (1, "user", "f"),
    ]  # fmt: skip


def test_each_instance_is_a_chat_of_its_own():
    body = {"instances": [PROMPT, CHAT], "parameters": {"maxOutputTokens": 5, "candidateCount": 2}}
    assert vertex.parts(body) == 2
    assert TO_CHAT.request(body, 0) == {
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 5,
    }
    asked = TO_CHAT.request(body, 1)
    assert asked["n"] == 2
    assert [(m["role"], m["content"]) for m in asked["messages"]] == [
        ("system", "c"), ("user", "e"), ("assistant", "f"), ("user", "m"), ("assistant", "n"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/projects/p/locations/l/endpoints/small:predict", "small"),
        ("/v1/projects/p/locations/l/publishers/g/models/small@7:predict", "small@7"),
    ],
)
def test_the_path_names_the_model(path, model):
    assert vertex.model_of(path, {}, []) == model


def completion(*texts):
    choices = [{"message": {"content": text}} for text in texts]
    return {"choices": choices, "usage": {"prompt_tokens": 2, "completion_tokens": 3}}


def test_completions_become_predictions_with_their_attributes():
    exchange = make_exchange(reply=None, request={"instances": [PROMPT, CHAT]})
    answer = TO_CHAT.answer([completion("x"), completion("y", "z")], exchange)
    usage = vertex.usage(answer)
    assert (usage.input_tokens, usage.output_tokens) == (4, 6)
    segments = vertex.outputs(answer)[0]
    assert [(s.index, s.text) for s in segments] == [(0, "x"), (1, "y"), (1, "z")]
    found = (Detection("insult", 0.2, 0), Detection("insult", 0.4, 2), Detection("threat", 0.9, 1))
    check = make_check(side=Stage.OUTPUT, detections=found)
    told = vertex.finished(exchange.evolve(outputs=segments, checks=(check,)), answer)
    first, second = told["predictions"]
    attributes = {"categories": ["insult"], "scores": [0.2], "blocked": False}
    assert first["safetyAttributes"] == attributes
    attributes = {"categories": ["threat", "insult"], "scores": [0.9, 0.4], "blocked": False}
    assert second["safetyAttributes"] == [attributes, attributes]


def test_only_the_predictions_at_fault_are_withheld():
    exchange = make_exchange(reply=None, request={"instances": [PROMPT, PROMPT]})
    answer = TO_CHAT.answer([completion("good"), completion("bad")], exchange)
    reason = make_reason(side=Stage.OUTPUT, segment=1)
    exchange = exchange.evolve(
        completion=answer,
        outputs=vertex.outputs(answer)[0],
        verdict=Verdict(Action.BLOCK, (reason,)),
    )
    first, second = vertex.blocked(exchange, "No.")["predictions"]
    assert (first["content"], first["safetyAttributes"]["blocked"]) == ("good", False)
    assert (second["content"], second["safetyAttributes"]["blocked"]) == ("No.", True)


def test_an_earlier_blocked_turn_is_masked_in_its_instance():
    turns = [{"author": "user", "content": "vile"}, {"author": "bot", "content": "No."}]
    body = {"instances": [PROMPT, {"messages": turns}]}
    masked = vertex.without_blocked_turns(body, {"No."})
    assert masked["instances"][1]["messages"][0]["content"] == WITHHELD
    assert vertex.without_blocked_turns(body, {"Never said."}) is body
