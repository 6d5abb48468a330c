"""OpenAI's Responses: what is checked, how streams fold, unfold and stop."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import BadRequest
from guardrails.types import Action, Stage, Verdict
from guardrails.wire import responses
from guardrails.wire.chat import WITHHELD
from guardrails.wire.pointers import found_at
from tests.factories import make_exchange, make_reason


def part(text, kind="output_text"):
    return {"type": kind, "text": text}


def turn(role, content):
    return {"role": role, "content": content}


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "r"}
SEARCH = {"type": "file_search_call", "queries": ["q"], "results": [{"text": "t", "filename": "n"}]}


@pytest.mark.parametrize(
    ("broken", "param"),
    [
        ({"input": 3}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"type": 3}]}, "input[0].type"),
        ({"input": [turn("user", 3)]}, "input[0].content"),
        ({"input": [turn("user", ["x"])]}, "input[0].content"),
        ({"input": [RESULT] * 6}, "input"),
        ({"input": "x", "instructions": []}, "instructions"),
        ({"input": "x", "tools": "y"}, "tools"),
        ({"input": "x", "stream": "y"}, "stream"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_by_its_field(broken, param):
    with pytest.raises(BadRequest) as raised:
        responses.check_request(broken, most_messages=5)
    assert raised.value.param == param


def test_every_text_of_a_request_is_found_and_what_is_not_here_is_named():
    request = {
        "instructions": "i",
        "input": [
            turn("developer", "d"),
            turn("user", [part("u", "input_text"), {"type": "input_image", "image_url": "data:"}]),
            turn("root", "x"),
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]},
            CALL,
            RESULT,
            SEARCH,
            {"type": "item_reference", "id": "m_0"},
            {"type": "new_thing", "odd": "o"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"a": "b"}}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"k": "v"}}},
        "previous_response_id": "resp_0",
        "store": True,
    }
    segments, uncovered = responses.inputs(request)
    assert [(s.stage, s.role, s.text) for s in segments] == [
        (Stage.INPUT, "system", "i"),
        (Stage.INPUT, "developer", "d"),
        (Stage.INPUT, "user", "u"),
        (Stage.INPUT, "user", "x"),
        (Stage.INPUT, "reasoning", "s"),
        (Stage.TOOL_CALL, "assistant", "f"),
        (Stage.TOOL_CALL, "assistant", "{}"),
        (Stage.TOOL_RESULT, "tool", "r"),
        (Stage.TOOL_RESULT, "tool", "t"),
        (Stage.TOOL_RESULT, "tool", "n"),
        (Stage.TOOL_CALL, "assistant", "q"),
        (Stage.INPUT, "user", "o"),
        (Stage.INPUT, "tool_definition", "f"),
        (Stage.INPUT, "tool_definition", '{"a":"b"}'),
        (Stage.INPUT, "tool_definition", "n"),
        (Stage.INPUT, "tool_definition", '{"k":"v"}'),
    ]
    assert uncovered == (
        "input[1].content[1].image_url: image_url",
        "input[7]: item_reference",
        "previous_response_id: kept by the upstream",
        "store: kept by the upstream",
    )
    assert [s.text for s in responses.inputs({"input": "just this"})[0]] == ["just this"]


def response(*output, **fields):
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [*output],
        **fields,
    }


def message(*parts):
    return {"type": "message", "id": "m", "role": "assistant", "content": [*parts]}


def folded(events):
    fold = responses.Fold()
    for event in events:
        fold.add(event)
    return fold.result(), fold.ended


texts = st.text(max_size=20)
parts = st.one_of(
    st.builds(lambda t: {"type": "output_text", "text": t, "annotations": []}, texts),
    st.builds(lambda t: {"type": "refusal", "refusal": t}, texts),
)
items = st.one_of(
    st.builds(lambda ps: message(*ps), st.lists(parts, max_size=3)),
    st.builds(lambda n, a: {**CALL, "name": n, "arguments": a}, texts, texts),
    st.builds(lambda t: {"type": "reasoning", "summary": [part(t, "summary_text")]}, texts),
)


@given(st.lists(items, max_size=3))
def test_what_unfolds_folds_back_and_its_lanes_hold_every_segment(output):
    answer = response(*output)
    events = list(responses.unfold(answer, include_usage=True))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    back, ended = folded(events)
    assert ended
    assert back == answer
    lanes = {}
    for event in events:
        for delta in responses.deltas(event):
            assert found_at(event, delta.pointer) == delta.text
            lanes[delta.lane.pointer] = lanes.get(delta.lane.pointer, "") + delta.text
    segments = {s.pointer: s.text for s in responses.outputs(answer)[0]}
    assert segments.items() <= lanes.items()
    assert set(lanes.values()) == set(segments.values())


def test_what_the_last_event_does_not_own_up_to_is_checked_all_the_same():
    events = list(responses.unfold(response(message(part("vile"))), include_usage=True))
    events[-1] = {**events[-1], "response": response(message(part("nice")))}
    answer, _ = folded(events)
    assert {s.text for s in responses.outputs(answer)[0]} == {"nice", "vile"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.new.delta", "output_index": 1, "delta": "x"},
        {"type": "response.new_thing", "odd": {"deep": "x"}},
        {"type": "response.shell_call_output_content.delta", "delta": {"stdout": "x"}},
        {"type": "response.output_text.annotation.added", "annotation": {"title": "x"}},
        {"type": "response.audio.transcript.delta", "delta": "x"},
    ],
)
def test_an_unknown_event_is_a_lane_too(event):
    (delta,) = responses.deltas(event)
    assert delta.text == "x"
    assert found_at(event, delta.pointer) == "x"


def blocked_exchange(**changes):
    verdict = Verdict(Action.BLOCK, (make_reason(),))
    return make_exchange(reply=None, protocol="responses", verdict=verdict, **changes)


def test_a_blocked_response_is_incomplete_and_says_so():
    answer = responses.blocked(blocked_exchange(request={"input": "x", "instructions": "i"}), "No.")
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "content_filter"}
    assert answer["output"][0]["content"][0]["text"] == "No."
    assert answer["instructions"] == "i"
    wanted = {"input": "x", "text": {"format": {"type": "json_schema"}}}
    answer = responses.blocked(blocked_exchange(request=wanted), "No.")
    assert answer["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_an_earlier_blocked_turn_is_masked():
    notice = {"type": "message", "role": "assistant", "content": [part("No.")]}
    request = {
        "input": [
            turn("user", "fine"), CALL, {**RESULT, "output": "vile"}, turn("user", "vile"), notice,
            turn("user", "good"),
        ]
    }  # fmt: skip
    masked = responses.without_blocked_turns(request, {"No."})["input"]
    assert "vile" not in orjson.dumps(masked).decode()
    assert masked[2] == {**RESULT, "output": WITHHELD}
    assert masked[0]["content"] == "fine" and masked[5]["content"] == "good"
    assert responses.without_blocked_turns({"input": "x"}, {"No."}) == {"input": "x"}


@pytest.mark.parametrize("seen", range(9))
@pytest.mark.parametrize("released", [False, True])
def test_a_stream_that_is_stopped_anywhere_still_ends_as_incomplete(seen, released):
    events = list(responses.unfold(response(message(part("good"))), include_usage=True))
    released = released and seen > 4
    sent = responses.Sent()
    for event in events[:seen]:
        sent.add(event)
    rest = list(responses.stopped(blocked_exchange(), "No.", released, sent))
    told = events[:seen] + rest
    answer, ended = folded(told)
    assert ended
    assert answer["status"] == "incomplete"
    assert ("No." in orjson.dumps(answer["output"]).decode()) is not released
    assert ("good" in orjson.dumps(answer["output"]).decode()) is (seen > 4)
    kinds = [event["type"] for event in told]
    assert kinds.count("response.created") == 1
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
