"""An answer is measured alike, whether it streams or comes whole."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.checks import Checker
from guardrails.detectors import create
from guardrails.output_check import OutputCheck, measure, merged, renumbered, slices_of
from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy, Rule
from guardrails.redact import redacted
from guardrails.streams.guard import Hold, StreamGuard
from guardrails.types import Action, Check, Detection, Segment, Stage
from guardrails.wire import chat
from guardrails.wire.sse import DONE, Events
from tests.factories import make_exchange

PATTERNS = create("patterns", {"words": {"forbidden": ["xyzzy"]}})
EXCHANGE = make_exchange(request={"messages": [], "stream": True})


def rule(**changes):
    fields = {
        "id": "r",
        "detector": "patterns",
        "label": "forbidden",
        "stage": ["output"],
        "threshold": 0.5,
        "action": "block",
        "on_error": "block",
    }
    return Rule(**{**fields, **changes})


def output(text, index=0):
    at = ("choices", index, "message", "content")
    return Segment(Stage.OUTPUT, "assistant", index, at, text)


def outputs_of(*rules):
    checker = Checker({"patterns": PATTERNS}, None)
    return OutputCheck(checker, lambda _: frozenset(), 5.0), Ruling(Policy(name="p", rules=rules))


@pytest.mark.parametrize(
    ("rules", "hold"),
    [
        ((), Hold.NOTHING),
        ((rule(mode="shadow"),), Hold.NOTHING),
        ((rule(action="flag", on_error="flag"),), Hold.NOTHING),
        ((rule(),), Hold.PIECES),
        ((rule(action="redact"),), Hold.PIECES),
        ((rule(detector="compact", action="redact"),), Hold.WHOLE),
        ((rule(detector="groundedness"),), Hold.NOTHING),
    ],
)
def test_a_stream_is_held_as_long_as_its_strictest_rule_asks(rules, hold):
    outputs, ruling = outputs_of(*rules)
    assert outputs.hold(EXCHANGE, ruling) is hold


async def test_spans_are_those_of_the_whole_text():
    text = "A long answer about stairs, with some clauses in it, and then xyzzy at its very end."
    segments = [output("nothing"), output(text, 1)]
    checker = Checker({"patterns": PATTERNS}, None)
    (check,) = await measure(
        checker, {"patterns"}, segments, *slices_of(segments), timeout_seconds=5
    )
    (hit,) = [hit for hit in check.detections if hit.evidence == "words.forbidden"]
    assert (hit.segment, text[hit.start : hit.end]) == (1, "xyzzy")


def test_one_failed_piece_fails_the_detector():
    parts = [
        Check("d", "1", Stage.OUTPUT, detections=(Detection("x", 0.2),), seconds=1.0),
        Check("d", "1", Stage.OUTPUT, error="late", seconds=1.0),
        Check("e", "1", Stage.OUTPUT, detections=(Detection("x", 0.7), Detection("x", 0.9))),
    ]
    failed, fine = merged(parts)
    assert (failed.error, failed.seconds) == ("late", 2.0)
    assert [hit.score for hit in fine.detections] == [0.9]


def test_detections_move_with_their_texts():
    check = Check(
        "d", "1", Stage.OUTPUT, detections=(Detection("x", 0.1, 0), Detection("x", 0.2, 1))
    )
    (moved,) = renumbered([check], {1: 5})
    assert [(hit.segment, hit.score) for hit in moved.detections] == [(5, 0.2)]


class Sink:
    def __init__(self):
        self.data = b""

    async def start(self, exchange):
        pass

    async def write(self, data):
        self.data += data


SAID = st.lists(
    st.sampled_from(
        ["A stair, ", "xyzzy ", "xyz", "zy. ", "AKIAIOSFODNN7", "EXAMPLE ", "mail a.b@", "c.org, ",
         "x y z z y ", "word ", "\u0445yzzy ", "eHl6", "enkgaXMgaGVyZQ== "]
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip
PREFILLS = st.sampled_from(
    [
        "",
        "It is xy",
        "Say xyzz",
        "Write to a",
        "mail a.b@",
        "AKIAIOSFODNN7",
        "a long beginning " * 4,
    ]
)


@settings(max_examples=150, deadline=None)
@given(SAID, st.integers(1, 12), PREFILLS)
async def test_a_stream_has_the_detections_of_the_whole_answer(said, size, begun):
    text = "".join(said)
    given = Segment(Stage.INPUT, "assistant", 1, ("messages", 1, "content"), begun)
    outputs, ruling = outputs_of(
        rule(action="redact"), rule(id="s", label="secret", action="redact")
    )
    guard = StreamGuard(chat, Sink(), 10**6)
    guard.hold = Hold.PIECES
    guard.prefill = begun

    async def stream():
        for at in range(0, len(text), size):
            delta = {"content": text[at : at + size]}
            yield chat.frame({"id": "c", "choices": [{"index": 0, "delta": delta}]})
        yield chat.frame({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "s"}]})

    answer = await guard.run(
        stream(), EXCHANGE, outputs.looker(EXCHANGE, ruling), outputs.live_from(EXCHANGE, ruling)
    )
    exchange = EXCHANGE.evolve(inputs=(given,), outputs=chat.outputs(answer)[0])
    streamed = await outputs.run(exchange, ruling, guard)
    whole = await outputs.run(exchange, ruling, None)

    def spans(checks):
        return {
            (hit.label, hit.start, hit.end, hit.evidence)
            for check in checks
            for hit in check.detections
            if hit.evidence is not None and hit.label in ("forbidden", "secret")
        }

    assert spans(streamed) == spans(whole)
    await guard.finish(exchange)
    verdict = ruling.decide(
        whole, exchange.outputs, side=Stage.OUTPUT, route="default", caller=EXCHANGE.caller
    )
    shown = redacted(answer, exchange.outputs, verdict.reasons, Stage.OUTPUT)
    fold = chat.Fold()
    for data in Events().feed(guard._sink.data):
        if data != DONE:
            fold.add(orjson.loads(data))
    assert chat.outputs(fold.result())[0] == chat.outputs(shown)[0]


@pytest.mark.parametrize(
    ("begun", "text", "found"),
    [
        ("It is xy", "zzy, you see.", (0, 3)),
        ("It is xyzz", "y", (0, 1)),
        ("It is xyzzy", " and so on", None),
        ("It is x", " and so on", None),
    ],
)
async def test_what_the_caller_begins_and_the_model_ends_is_found_in_the_answers_part(
    begun, text, found
):
    outputs, ruling = outputs_of(rule())
    given = Segment(Stage.INPUT, "assistant", 1, ("messages", 1, "content"), begun)
    exchange = EXCHANGE.evolve(inputs=(given,), outputs=(output(text),))
    (check,) = await outputs.run(exchange, ruling, None)
    spans = [(hit.start, hit.end) for hit in check.detections if hit.evidence is not None]
    assert spans == ([] if found is None else [found])
    verdict = ruling.decide(
        [check], exchange.outputs, side=Stage.OUTPUT, route="default", caller=EXCHANGE.caller
    )
    assert verdict.action is (Action.ALLOW if found is None else Action.BLOCK)
