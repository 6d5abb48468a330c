"""Anthropic messages: what is checked, how streams fold, unfold and stop."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import BadRequest
from guardrails.types import Action, Stage, Verdict
from guardrails.wire import messages
from guardrails.wire.chat import WITHHELD
from guardrails.wire.pointers import found_at
from tests.factories import make_exchange, make_reason

PICTURE = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}
CONTENT = [
    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
    {"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "b"}]},
    {"type": "tool_use", "id": "t1", "name": "f", "input": {"k": "v"}},
    {"type": "redacted_thinking", "data": "xx"},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "t2",
        "content": [{"title": "c", "url": "u"}],
    },
]


def body(*turns, **fields):
    return {"model": "m", "messages": [{"role": r, "content": c} for r, c in turns], **fields}


def message(content=CONTENT, **fields):
    return {"id": "msg_1", "type": "message", "role": "assistant", "content": content, **fields}


def blocked_exchange(**changes):
    verdict = Verdict(Action.BLOCK, (make_reason(),))
    return make_exchange(reply=None, protocol="messages", verdict=verdict, **changes)


@pytest.mark.parametrize(
    ("broken", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        (body(("user", None)), "messages[0].content"),
        (body(("user", ["x"])), "messages[0].content"),
        (body(("user", "x"), system=3), "system"),
        (body(("user", "x"), tools={}), "tools"),
        (body(("user", "x"), stream=1), "stream"),
        (body(*[("user", "x")] * 6), "messages"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_by_its_field(broken, param):
    with pytest.raises(BadRequest) as raised:
        messages.check_request(broken, most_messages=5)
    assert raised.value.param == param


def test_every_text_of_a_request_is_found_and_what_is_not_text_is_named():
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}]}
    document = {"type": "document", "title": "d", "source": {"type": "text", "data": "e"}}
    request = body(
        ("user", [PICTURE, {"type": "text", "text": "q"}]),
        ("assistant", CONTENT),
        ("user", [result, document, {"type": "new", "odd": "o"}]),
        ("root", "x"),
        system=[{"type": "text", "text": "s"}],
        tools=[{"name": "n", "description": "w", "input_schema": {"type": "object"}}],
        output_config={"format": {"type": "json_schema", "schema": {"a": "b"}}},
    )
    segments, uncovered = messages.inputs(request)
    assert [(s.stage, s.role, s.text) for s in segments] == [
        (Stage.INPUT, "system", "s"),
        (Stage.INPUT, "user", "q"),
        (Stage.INPUT, "reasoning", "hm"),
        (Stage.INPUT, "assistant", "a"),
        (Stage.INPUT, "assistant", "b"),
        (Stage.TOOL_CALL, "assistant", "f"),
        (Stage.TOOL_CALL, "assistant", '{"k":"v"}'),
        (Stage.TOOL_RESULT, "tool", "c"),
        (Stage.TOOL_RESULT, "tool", "u"),
        (Stage.TOOL_RESULT, "tool", "r"),
        (Stage.INPUT, "user", "d"),
        (Stage.INPUT, "user", "e"),
        (Stage.INPUT, "user", "o"),
        (Stage.INPUT, "user", "x"),
        (Stage.INPUT, "tool_definition", "n"),
        (Stage.INPUT, "tool_definition", "w"),
        (Stage.INPUT, "tool_definition", '{"type":"object"}'),
        (Stage.INPUT, "tool_definition", '{"a":"b"}'),
    ]
    assert uncovered == ("messages[0].content[0]: image", "messages[1].content[3].data: data")


def folded(events):
    fold = messages.Fold()
    for event in events:
        fold.add(event)
    return fold.result(), fold.ended


def test_a_blocked_message_unfolds_to_the_complete_sequence():
    answer = messages.blocked(blocked_exchange(), "No.")
    events = list(messages.unfold(answer, include_usage=True))
    assert [event["type"] for event in events] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    back, ended = folded(events)
    assert ended
    assert back == answer
    assert messages.frame(events[-1]) == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


texts = st.text(max_size=20)
blocks = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, texts),
    st.builds(lambda t, s: {"type": "thinking", "thinking": t, "signature": s}, texts, texts),
    st.builds(
        lambda n, k, v: {"type": "tool_use", "id": "t", "name": n, "input": {k: v}},
        texts, texts, texts,
    ),
    st.builds(lambda t: {"type": "redacted_thinking", "data": t}, texts),
)  # fmt: skip


@given(st.lists(blocks, max_size=4))
def test_what_unfolds_folds_back_and_its_lanes_are_its_segments(content):
    answer = message(content, stop_reason="end_turn", usage={"output_tokens": 1})
    events = list(messages.unfold(answer, include_usage=True))
    back, ended = folded(events)
    assert ended
    assert back == answer | {"stop_sequence": None}
    lanes = {}
    for event in events:
        for delta in messages.deltas(event):
            assert found_at(event, delta.pointer) == delta.text
            lanes[delta.lane.pointer] = lanes.get(delta.lane.pointer, "") + delta.text
    assert lanes == {s.pointer: s.text for s in messages.outputs(answer)[0]}


def test_every_text_of_an_answer_is_found_streamed_or_not():
    answer = message()
    said = [(s.role, s.text) for s in messages.outputs(answer)[0]]
    assert said == [
        ("reasoning", "hm"), ("assistant", "a"), ("assistant", "b"), ("assistant", "f"),
        ("assistant", '{"k":"v"}'), ("tool", "c"), ("tool", "u"),
    ]  # fmt: skip
    streamed = [
        (delta.lane.role, delta.text)
        for event in messages.unfold(answer, include_usage=True)
        for delta in messages.deltas(event)
    ]
    assert sorted(streamed) == sorted(said)


def test_an_unknown_delta_is_a_lane_of_its_own():
    event = {"type": "content_block_delta", "index": 2, "delta": {"type": "new", "odd": "x"}}
    (delta,) = messages.deltas(event)
    assert delta.lane.pointer == ("content", 2, "odd")
    assert messages.outputs(folded([event])[0])[0][0].text == "x"


def test_an_earlier_blocked_turn_is_masked_and_its_tool_results_stay_blocks():
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "vile"}
    history = body(
        ("user", "vile"), ("user", [result, {"type": "text", "text": "vile"}]),
        ("assistant", [{"type": "text", "text": "No."}]), ("user", "fine"),
    )  # fmt: skip
    masked = messages.without_blocked_turns(history, {"No."})
    assert "vile" not in orjson.dumps(masked).decode()
    assert masked["messages"][1]["content"][0] == {**result, "content": WITHHELD}
    assert masked["messages"][3]["content"] == "fine"
    assert messages.without_blocked_turns(history, {"Never said."}) is history


@pytest.mark.parametrize("seen", [0, 1, 3, 4])
@pytest.mark.parametrize("released", [False, True])
def test_a_stream_that_is_stopped_anywhere_is_still_a_whole_message(seen, released):
    events = list(messages.unfold(message(CONTENT[:2]), include_usage=True))
    released = released and seen > 2
    sent = messages.Sent()
    for event in events[:seen]:
        sent.add(event)
    rest = list(messages.stopped(blocked_exchange(), "No.", released, sent))
    answer, ended = folded(events[:seen] + rest)
    assert ended
    assert answer["stop_reason"] == "refusal"
    assert ("No." in orjson.dumps(answer["content"]).decode()) is not released
    open_blocks = set()
    for event in events[:seen] + rest:
        if event["type"] == "content_block_start":
            assert not open_blocks
            open_blocks.add(event["index"])
        elif event["type"] == "content_block_stop":
            open_blocks.remove(event["index"])
    assert not open_blocks
    assert [event["type"] for event in events[:seen] + rest].count("message_start") == 1


def test_the_templates_system_message_stands_before_the_callers():
    request = body(("user", "q"), system="mine")
    written = [{"role": "system", "content": "ours"}, {"role": "user", "content": "Q"}]
    told = messages.with_messages(request, written)
    assert told["system"] == "ours\n\nmine"
    assert told["messages"] == written[1:]
    blocks = messages.with_messages({**request, "system": [{"type": "text", "text": "m"}]}, written)
    assert [block["text"] for block in blocks["system"]] == ["ours", "m"]
    assert messages.question(request) == "q"


def test_an_unknown_event_is_read_and_kept_for_the_check_of_the_whole():
    event = {"type": "new_event", "odd": {"deep": "x"}}
    (delta,) = messages.deltas(event)
    assert delta.text == found_at(event, delta.pointer) == "x"
    assert [s.text for s in messages.outputs(folded([event])[0])[0]] == ["x"]
    assert messages.deltas({"type": "ping"}) == []
