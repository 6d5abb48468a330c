"""What is said in several pieces is found as if it were said in one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.checks import Checker
from guardrails.detectors import create
from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy, Rule
from guardrails.redact import redacted
from guardrails.seams import REACH_CHARACTERS, measure, prefill, seams
from guardrails.types import Action, Caller, Segment, Stage
from guardrails.vault import Vault
from guardrails.wire import chat, messages, responses

PATTERNS = create("patterns", {"words": {"forbidden": ["xyzzy", "open the vault"]}})
PATTERNS_PERSONAL = create("patterns", {})


def turns(*texts):
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def parts(*texts):
    content = [{"type": "text", "text": text} for text in texts]
    return {"messages": [{"role": "user", "content": content}]}


def items(*texts):
    content = [{"type": "input_text", "text": text} for text in texts]
    return {"input": [{"role": "user", "content": content}]}


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def text(value):
    return {"type": "text", "text": value}


def rule(**changes):
    fields = {
        "id": "r", "detector": "patterns", "label": "forbidden", "stage": ["input", "tool_result"],
        "threshold": 0.5, "action": "block", "on_error": "block",
    }  # fmt: skip
    return Rule(**{**fields, **changes})


async def ruled(body, wire, *rules, finder=PATTERNS):
    segments, _ = wire.inputs(body)
    checker = Checker({"patterns": finder}, None)
    checks = await measure(checker, {"patterns"}, segments, timeout_seconds=5)
    ruling = Ruling(Policy(name="p", rules=rules or (rule(),)))
    verdict = ruling.decide(
        checks, segments, side=Stage.INPUT, route="default", caller=Caller("k", "t")
    )
    return segments, checks, verdict


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        (turns("Say xy", "zzy now"), chat),
        (turns("Please open", "the vault"), chat),
        (turns("Please open ", " the vault"), chat),
        (turns("x", "y", "z", "z", "y"), chat),
        (parts("Say xy", "zzy now"), chat),
        (parts("Say xy", "zzy now"), messages),
        (turns("Say xy", "zzy now"), messages),
        (items("Say xy", "zzy now"), responses),
        (
            {
                "messages": [
                    {"role": "user", "content": "Say xy", "name": "ann"},
                    {"role": "user", "content": "zzy now"},
                ]
            },
            chat,
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": "Always say xy"},
                    {"role": "system", "content": "zzy."},
                    {"role": "user", "content": "hi"},
                ]
            },
            chat,
        ),
    ],
)
async def test_a_text_split_over_turns_or_parts_is_found(body, wire):
    _, _, verdict = await ruled(body, wire)
    assert verdict.action is Action.BLOCK


@pytest.mark.parametrize(
    "body",
    [
        {
            "messages": [
                {"role": "user", "content": "Say xy"},
                {"role": "assistant", "content": "What?"},
                {"role": "user", "content": "zzy now"},
            ]
        },
        turns("A harmless first", "and a harmless second."),
    ],
)
async def test_what_is_not_said_in_a_row_is_not_joined(body):
    _, checks, verdict = await ruled(body, chat)
    assert verdict.action is Action.ALLOW
    assert {hit.label for hit in checks[0].detections} >= {"forbidden"}


@settings(max_examples=60, deadline=None)
@given(
    before=st.text("ab ,.", max_size=400),
    after=st.text("ab ,.", max_size=400),
    cuts=st.lists(st.integers(0, 820), min_size=1, max_size=6),
)
async def test_however_a_text_is_split_over_turns_each_part_of_what_is_forbidden_is_cut_out(
    before, after, cuts
):
    text = f"{before} xyzzy {after}"
    borders = [0, *sorted({cut for cut in cuts if cut < len(text)} - {0}), len(text)]
    body = turns(*(text[a:b] for a, b in pairwise(borders)))
    segments, _, verdict = await ruled(body, chat, rule(action="redact"))
    left = redacted(body, segments, verdict.reasons, Stage.INPUT)
    said = "".join(message["content"] for message in left["messages"])
    assert said.replace("[forbidden]", "") == f"{before}  {after}"


async def test_a_value_split_over_two_turns_leaves_as_placeholders_and_comes_back():
    body = turns("Write to ann.miller@exam", "ple.org today.")
    hiding = rule(id="hide", label="personal_data", action="redact", restore=True)
    segments, _, verdict = await ruled(body, chat, hiding, finder=PATTERNS_PERSONAL)
    vault = Vault()
    left = redacted(body, segments, verdict.reasons, Stage.INPUT, vault, {"hide"})
    sent = [message["content"] for message in left["messages"]]
    assert sent == ["Write to [personal_data_1]", "[personal_data_2] today."]
    spoken = tuple(
        Segment(s.stage, s.role, 0, s.pointer, t) for s, t in zip(segments, sent, strict=True)
    )
    assert vault.restored(left, spoken) == body


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=12))
def test_what_is_read_twice_is_no_more_than_the_text_and_little_of_long_ones(lengths):
    segments, _ = chat.inputs(turns(*("a" * (length - 1) + "." for length in lengths)))
    extra = sum(len(seam.text) for seam in seams(segments))
    assert extra <= sum(lengths)
    assert extra <= 2 * REACH_CHARACTERS * (len(lengths) - 1)


def test_spans_lead_back_to_the_pieces_that_they_are_made_of():
    segments, _ = chat.inputs(turns("a" * 300 + " xy", "zz", "y"))
    glued, spaced = seams(segments)
    at = glued.text.index("xyzzy")
    assert glued.led_back(at, at + 5) == [(0, 301, 303), (1, 0, 2), (2, 0, 1)]
    assert spaced.text.endswith("xy zz y")


@pytest.mark.parametrize(
    ("said", "wire", "begun"),
    [
        ([user("a"), assistant("b c")], chat, "b c"),
        ([user("a"), assistant([text("b"), text("c")])], messages, "bc"),
        ([assistant("b"), user("a")], chat, ""),
        ([assistant("b" * 999)], chat, "b" * REACH_CHARACTERS),
    ],
)
def test_a_prefill_is_the_end_of_an_assistants_last_turn(said, wire, begun):
    tools = [{"type": "function", "function": {"name": "f", "description": "d"}}]
    assert prefill(wire.inputs({"messages": said, "tools": tools})[0]) == begun
