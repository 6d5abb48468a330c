"""Chat completions: what is checked, how an answer is withheld, how streams fold and unfold."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import BadRequest
from guardrails.types import Action, Stage, Verdict
from guardrails.wire import chat
from guardrails.wire.pointers import found_at, replaced
from tests.factories import make_exchange, make_reason

PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": '{"to":"a"}'}}


def body(*messages, **fields):
    return {"model": "m", "messages": list(messages), **fields}


def said(text, role="user", **fields):
    return {"role": role, "content": text, **fields}


@pytest.mark.parametrize(
    ("broken", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [said({"text": "hi"})]}, "messages[0].content"),
        ({"messages": [said(3)]}, "messages[0].content"),
        ({"messages": [said(["hi"])]}, "messages[0].content"),
        ({"messages": [said("hi", tool_calls=["x"])]}, "messages[0].tool_calls"),
        ({"messages": [said("hi"), said("x", tool_calls={})]}, "messages[1].tool_calls"),
        ({"messages": [said("hi")], "stream": "yes"}, "stream"),
        ({"messages": [said("hi")], "tools": {}}, "tools"),
        ({"messages": [said("hi")], "n": 0}, "n"),
        ({"messages": [said("hi")], "n": True}, "n"),
        ({"messages": [said("hi")], "n": "2"}, "n"),
        ({"messages": [said("hi")], "n": 10**9}, "n"),
        ({"messages": [said("hi")] * 6}, "messages"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_by_its_field(broken, param):
    with pytest.raises(BadRequest) as raised:
        chat.check_request(broken, most_messages=5)
    assert raised.value.param == param


def test_unknown_fields_and_parts_are_the_upstreams_to_judge():
    chat.check_request(body(said([{"type": "new", "x": 1}]), new_field={"a": [1]}), most_messages=5)


def test_every_text_of_a_request_is_found_and_what_is_not_text_is_named():
    request = body(
        said("Be brief.", "system"),
        said([{"type": "text", "text": "What is this?"}, PIXEL]),
        said(None, "assistant", tool_calls=[CALL]),
        said("sent", "tool", tool_call_id="c1"),
        tools=[{"type": "function", "function": {"name": "mail", "description": "Sends mail."}}],
    )
    segments, uncovered = chat.inputs(request)
    assert [(s.stage, s.role, s.text) for s in segments] == [
        (Stage.INPUT, "system", "Be brief."),
        (Stage.INPUT, "user", "What is this?"),
        (Stage.TOOL_CALL, "assistant", "mail"),
        (Stage.TOOL_CALL, "assistant", '{"to":"a"}'),
        (Stage.TOOL_RESULT, "tool", "sent"),
        (Stage.INPUT, "tool_definition", "mail"),
        (Stage.INPUT, "tool_definition", "Sends mail."),
    ]
    assert uncovered == ("messages[1].content[1]: image_url",)


def test_a_made_up_role_is_held_to_what_a_user_is_held_to():
    segments, _ = chat.inputs(body(said("hi", "root"), said("ho", "developer")))
    assert [segment.role for segment in segments] == ["user", "developer"]


def test_a_segments_pointer_leads_to_its_text():
    request = body(said([{"type": "text", "text": "one"}, PIXEL]), said("two"))
    before = orjson.dumps(request)
    for segment in chat.inputs(request)[0]:
        changed = replaced(request, {segment.pointer: "NEW"})
        assert [s.text for s in chat.inputs(changed)[0]].count("NEW") == 1
    assert orjson.dumps(request) == before


def test_every_text_of_an_answer_is_found():
    answer = {
        "choices": [
            {"index": 0, "message": said("a", "assistant", reasoning_content="b", refusal="c")},
            {"index": 1, "message": {"content": None, "tool_calls": [CALL]}},
            {"index": 2, "message": {"audio": {"transcript": "d"}}},
        ]
    }
    segments, uncovered = chat.outputs(answer)
    assert [(s.index, s.stage, s.text) for s in segments] == [
        (0, Stage.OUTPUT, "a"),
        (0, Stage.OUTPUT, "c"),
        (0, Stage.OUTPUT, "b"),
        (1, Stage.TOOL_CALL, "mail"),
        (1, Stage.TOOL_CALL, '{"to":"a"}'),
        (2, Stage.OUTPUT, "d"),
    ]
    assert uncovered == ("choices[2].message.audio: audio",)


def test_an_unknown_field_is_read_and_never_trusted():
    request = body(said("a", name="b", new={"deep": ["c"]}, reasoning="d"))
    assert [(s.role, s.text) for s in chat.inputs(request)[0]] == [
        ("user", "a"), ("reasoning", "d"), ("user", "b"), ("user", "c"),
    ]  # fmt: skip
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {}}}}}
    (_, name, schema) = chat.inputs(body(said("a"), tools=[tool]))[0]
    assert (name.text, schema.text) == ("f", '{"properties":{"x":{}}}')
    answer = {"choices": [{"index": 0, "message": {"content": "a", "new": "b"}}]}
    assert [s.text for s in chat.outputs(answer)[0]] == ["a", "b"]


def chunk(delta, index=0, finish=None, **fields):
    choice = {"index": index, "delta": delta, "finish_reason": finish, **fields}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def tool_delta(arguments, number=0, **fields):
    return {"tool_calls": [{"index": number, "function": {"arguments": arguments}, **fields}]}


STREAM = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hel", "reasoning_content": "hm"}, logprobs={"content": [{"token": "Hel"}]}),
    chunk({"content": "lo", "new": "odd"}),
    chunk({"role": "assistant", "content": None}, 1),
    chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f"}}]}, 1),
    chunk(tool_delta('{"a"'), 1),
    chunk(tool_delta("{}", 1, id="c2"), 1),
    chunk(tool_delta(":1}"), 1),
    chunk({"refusal": "no"}, 1, "stop"),
]


def test_every_lane_of_a_stream_is_a_segment_of_the_whole_answer():
    lanes = {}
    for event in STREAM:
        for delta in chat.deltas(event):
            assert found_at(event, delta.pointer) == delta.text
            lanes[delta.lane] = lanes.get(delta.lane, "") + delta.text
    segments = chat.outputs(folded(STREAM))[0]
    assert {
        (lane.stage, lane.role, lane.index, lane.pointer, text) for lane, text in lanes.items()
    } == {(s.stage, s.role, s.index, s.pointer, s.text) for s in segments}
    assert len(lanes) == 7


@pytest.mark.parametrize("released", [False, True])
def test_a_stopped_stream_ends_its_choices_and_says_the_notice_only_if_nothing_was_said(released):
    exchange = blocked_exchange(request=body(said("x"), stream_options={"include_usage": True}))
    events = list(chat.stopped(exchange, "No.", released))
    answer = folded(events)
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert answer["choices"][0]["message"]["content"] == (None if released else "No.")
    assert events[-1]["usage"] and events[-1]["choices"] == []
    assert any("guardrail" in event for event in events)


def test_the_question_is_the_last_user_turn():
    assert chat.question(body(said("a"), said("b", "assistant"), said("c"))) == "c"
    assert chat.question(body(said("a"), said([{"type": "text", "text": "b"}, PIXEL]))) == "b"
    assert chat.question(body(said("a", "system"))) is None


def test_an_earlier_blocked_turn_is_masked_for_detectors_and_model():
    history = body(
        said("fine"), said("ok", "assistant"), said("vile"), said("more vile"),
        said("No.", "assistant"), said("sorry, what is a stair?"),
    )  # fmt: skip
    masked = chat.without_blocked_turns(history, {"No."})
    assert [m["content"] for m in masked["messages"]] == [
        "fine", "ok", chat.WITHHELD, chat.WITHHELD, "No.", "sorry, what is a stair?",
    ]  # fmt: skip
    assert chat.without_blocked_turns(history, {"Never said."}) is history
    refusal = body(said("vile"), {"role": "assistant", "content": None, "refusal": "No."})
    assert chat.without_blocked_turns(refusal, {"No."})["messages"][0]["content"] == chat.WITHHELD


def blocked_exchange(**changes):
    verdict = Verdict(Action.BLOCK, (make_reason(**changes.pop("reason", {})),))
    return make_exchange(verdict=verdict, **changes)


def test_a_blocked_request_gets_an_ordinary_completion():
    exchange = blocked_exchange(reply=None, request=body(said("x"), n=2))
    answer = chat.blocked(exchange, "No.")
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "content_filter"
        assert choice["message"] == {"role": "assistant", "content": "No.", "refusal": "No."}
    found = answer["prompt_filter_results"][0]["content_filter_results"]
    assert found["insult"]["filtered"] is True
    assert answer["guardrail"]["appeal_id"] == exchange.id
    assert answer["guardrail"]["categories"] == ["insult"]
    assert "x" not in orjson.dumps(answer["guardrail"]).decode().split('"')


def test_a_refusal_never_looks_like_the_json_that_was_asked_for():
    request = body(said("x"), response_format={"type": "json_schema"})
    answer = chat.blocked(blocked_exchange(reply=None, request=request), "No.")
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
    }


def test_only_the_choices_at_fault_are_withheld():
    completion = {
        "id": "c",
        "choices": [
            {"index": 0, "message": said("good", "assistant"), "finish_reason": "stop"},
            {"index": 1, "message": said("bad", "assistant"), "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    exchange = blocked_exchange(
        completion=completion,
        outputs=chat.outputs(completion)[0],
        reason={"side": Stage.OUTPUT, "segment": 1},
    )
    answer = chat.blocked(exchange, "No.")
    assert answer["choices"][0] == completion["choices"][0]
    assert answer["choices"][1]["message"]["content"] == "No."
    assert answer["usage"] == completion["usage"]
    assert "bad" not in orjson.dumps(answer).decode()


def test_a_request_that_is_blocked_while_its_answer_is_under_way_withholds_every_choice():
    answer = chat.blocked(blocked_exchange(reply="half an ans"), "No.")
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["No."]


def folded(chunks):
    fold = chat.Fold()
    for chunk in chunks:
        fold.add(chunk)
    return fold.result()


def test_a_stream_folds_to_the_answer_that_would_have_come_unstreamed():
    def tool(arguments, **fields):
        return {"tool_calls": [{"index": 0, "function": {"arguments": arguments}, **fields}]}

    answer = folded(
        [
            chunk({"role": "assistant", "content": ""}, new=1),
            chunk({"content": "Hel"}, logprobs={"content": [{"token": "Hel"}]}),
            chunk({"content": "lo", "reasoning_content": "hm"}, logprobs={"content": [{"t": 2}]}),
            chunk({"role": "assistant", "content": None}, 1),
            chunk(tool("", id="c1", type="function"), 1),
            chunk({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, 1),
            chunk(tool('{"a"'), 1),
            chunk(tool(":1}"), 1),
            chunk({}, 1, "tool_calls"),
            chunk({}, 0, "stop"),
            {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        ]
    )
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] == 2
    first, second = answer["choices"]
    assert first == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello", "reasoning_content": "hm"},
        "finish_reason": "stop",
        "new": 1,
        "logprobs": {"content": [{"token": "Hel"}, {"t": 2}]},
    }
    assert second["message"]["content"] is None
    assert second["message"]["tool_calls"] == [
        {
            "index": 0,
            "id": "c1",
            "type": "function",
            "function": {"arguments": '{"a":1}', "name": "f"},
        }
    ]


texts = st.text(max_size=30)
calls = st.lists(
    st.builds(
        lambda i, n, a: {"id": i, "type": "function", "function": {"name": n, "arguments": a}},
        st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5), texts,
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.one_of(st.none(), texts.filter(bool))},
    optional={"tool_calls": calls, "reasoning_content": texts.filter(bool)},
)


@given(st.lists(messages, min_size=1, max_size=3), st.booleans())
def test_what_unfolds_folds_back(given_messages, include_usage):
    answer = {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {"index": index, "message": message, "finish_reason": "stop"}
            for index, message in enumerate(given_messages)
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    back = folded(chat.unfold(answer, include_usage=include_usage))
    assert ("usage" in back) is include_usage
    for choice, given_choice in zip(back["choices"], answer["choices"], strict=True):
        message, wanted = choice["message"], given_choice["message"]
        for call in message.get("tool_calls", ()):
            call.pop("index")
        assert message | {"content": message["content"] or None} == wanted
        assert choice["finish_reason"] == "stop"
