from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import ConfigError
from guardrails.exchange_log.privacy import Privacy, mask, masked, pseudonym
from guardrails.exchange_log.record import encode
from guardrails.settings import CutSettings, PrivacySettings
from guardrails.types import (
    Action,
    Check,
    Detection,
    Exchange,
    Failure,
    Passage,
    Segment,
    Stage,
    Verdict,
)
from tests.factories import make_exchange, make_reason

KNOWN = {"patterns": ("email", "card"), "toxicity": ("insult",)}
EMAIL = "ann@example.org"
SAID = f"Write to {EMAIL}, please."
CUT = PrivacySettings(cut=(CutSettings(detector="patterns"),))
SECRET = b"secret"


def privacy(*rules: PrivacySettings) -> Privacy:
    return Privacy(rules, known=KNOWN, finders={"patterns"}, secret=SECRET)


def found(text: str, side: Stage, piece: str = EMAIL, **changes) -> Check:
    at = text.find(piece)
    spans = (Detection("email", 1.0, 0, at, at + len(piece), "email"),) if at >= 0 else ()
    detections = (*spans, Detection("card", 0.0))
    return Check("patterns", "1", side, detections=detections, **changes)


def chat(question: str = SAID, reply: str | None = f"I wrote to {EMAIL}.", **changes) -> Exchange:
    checks = [found(question, Stage.INPUT)]
    if reply is not None:
        checks.append(found(reply, Stage.OUTPUT))
    return make_exchange(question, reply, **{"checks": tuple(checks), **changes})


def written(exchange: Exchange) -> str:
    line = encode(exchange)
    assert line is not None
    return json.dumps(json.loads(line), ensure_ascii=False)


def body(**fields) -> dict:
    return {"model": "demo", "messages": [{"role": "user", "content": SAID}], **fields}


SHADOW = Verdict(reasons=(make_reason(detector="patterns", label="email", shadow=True),))
REDACTED = Verdict(
    Action.REDACT,
    (
        make_reason(
            rule="no-email", detector="patterns", label="email", action=Action.REDACT,
            start=9, end=9 + len(EMAIL),
        ),
    ),
)  # fmt: skip
CALL = f'{{"to": "{EMAIL}"}}'
CALLED = {"message": {"tool_calls": [{"function": {"name": "send", "arguments": CALL}}]}}
TOKENS = {"content": [{"token": EMAIL, "bytes": [97, 110, 110], "logprob": -0.1}]}

PATHS = {
    "answered": chat(),
    "blocked": chat(reply=None, verdict=Verdict(Action.BLOCK, (make_reason(),)), answer=body()),
    "shadow result": chat(verdict=SHADOW),
    "redacted for the model": chat(
        verdict=REDACTED,
        prompt={"messages": [{"role": "user", "content": "Write to [email], please."}]},
    ),
    "failed before it was read": make_exchange(
        SAID, None, inputs=(), checks=(), prompt=None, failure=Failure("bad_request", "No.", 400)
    ),
    "failed before it was checked": chat(
        reply=None, checks=(), failure=Failure("guard_unavailable", "Try again.", 503)
    ),
    "the detector failed": chat(reply=None, checks=(found("", Stage.INPUT, error="deadline"),)),
    "the detector saw a part": chat(
        reply=None, checks=(found("", Stage.INPUT, uncovered=("the end",)),)
    ),
    "the caller left": chat(abandoned=True, checks=(found(SAID, Stage.INPUT),)),
    "quoted by the upstream's error": chat(
        reply=None, answer={"error": {"message": f"cannot handle {EMAIL}", "type": "invalid"}}
    ),
    "beside what is scanned": chat(
        request=body(
            metadata={"mail": EMAIL, EMAIL: 1, "phone": 4915112345678},
            user=EMAIL,
            tools=[{"type": "function", "function": {"description": f"mail {EMAIL}"}}],
            stop=[EMAIL],
            role=EMAIL,
        )
    ),
    "an earlier turn that was masked": chat(
        request=body(messages=[{"role": "user", "content": f"{EMAIL} again"}])
    ),
    "in a template": chat(
        template_hash="t", prompt={"messages": [{"role": "user", "content": f"Q: {SAID} A:"}]}
    ),
    "in a passage": chat(passages=(Passage(1, "p", "d", "t", "s", f"{EMAIL} is Ann.", 0.9),)),
    "in a tool call": make_exchange(
        SAID,
        "x",
        checks=(found(SAID, Stage.INPUT), found(CALL, Stage.OUTPUT)),
        outputs=(Segment(Stage.TOOL_CALL, "assistant", 0, ("choices", 0), CALL),),
        completion={"choices": [CALLED]},
    ),
    "as tokens": chat(completion={"choices": [{"logprobs": TOKENS}], "id": "c"}),
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_what_must_be_cut_is_in_no_part_of_the_record(name: str) -> None:
    exchange = PATHS[name]
    assert EMAIL in written(exchange)
    kept = privacy(CUT).of(exchange)
    assert EMAIL not in written(kept)
    assert "4915112345678" not in written(kept)
    assert "97, 110" not in written(kept)


def test_what_is_clean_stays_readable_and_every_offset_holds() -> None:
    kept = privacy(CUT).of(chat())
    assert kept.inputs[0].text == "Write to [email]········, please."
    assert kept.request["messages"][0]["content"] == kept.inputs[0].text
    assert kept.completion["choices"][0]["message"]["content"].startswith("I wrote to [email]·")
    assert kept.completion["model"] == "demo-model-2026"
    assert kept.completion["usage"]["total_tokens"] == 21
    span = kept.checks[0].detections[0]
    assert kept.inputs[0].text[span.start : span.end] == "[email]········"
    assert len(kept.inputs[0].text) == len(SAID)


def test_unscanned_texts_are_withheld_and_said_to_be() -> None:
    kept = privacy(CUT).of(PATHS["failed before it was checked"])
    assert kept.inputs[0].text == "[not scanned]"
    assert "privacy: patterns did not scan the input" in kept.uncovered


def test_the_policys_own_words_stay() -> None:
    blocked = chat(reply=None, answer={"choices": [{"message": {"content": "Declined. Ask."}}]})
    kept = privacy(CUT).of(blocked, {"Declined. Ask."})
    assert kept.answer == blocked.answer


def test_a_scorer_takes_every_text_of_the_place_that_it_scored() -> None:
    rule = PrivacySettings(cut=(CutSettings(detector="toxicity", threshold=0.8),))
    inputs = tuple(
        Segment(Stage.INPUT, role, n, ("messages", n, "content"), text)
        for n, (role, text) in enumerate(
            [("user", "mild"), ("user", "worse"), ("tool", "a result")]
        )
    )
    check = Check("toxicity", "1", Stage.INPUT, detections=(Detection("insult", 0.9, 1, 0, 2),))
    kept = privacy(rule).of(make_exchange("worse", None, inputs=inputs, checks=(check,)))
    assert [segment.text for segment in kept.inputs] == ["····", "·····", "a result"]


@pytest.mark.parametrize(
    ("rule", "route", "tenant", "dropped"),
    [
        (PrivacySettings(drop=("all",)), "default", "acme", True),
        (PrivacySettings(drop=("all",), tenants=("acme",)), "default", "acme", True),
        (PrivacySettings(drop=("all",), tenants=("globex",)), "default", "acme", False),
        (PrivacySettings(drop=("all",), routes=("hr",)), "default", "acme", False),
        (PrivacySettings(drop=("all",), routes=("hr",), tenants=("acme",)), "hr", "acme", True),
    ],
)
def test_a_rule_holds_for_its_routes_and_tenants(rule, route, tenant, dropped) -> None:
    exchange = chat(route=route)
    assert (EMAIL not in written(privacy(rule).of(exchange))) == dropped
    assert exchange.caller.tenant == tenant


def test_a_dropped_column_keeps_what_is_no_text() -> None:
    exchange = chat(request=body(user="u-17"))
    kept = privacy(PrivacySettings(drop=("request", "completion", "outputs"))).of(exchange)
    assert kept.request == {
        "dropped": True,
        "model": "demo",
        "safety_identifier": pseudonym(SECRET, "acme", "u-17"),
    }
    assert kept.completion == {
        "dropped": True,
        "model": "demo-model-2026",
        "choices": [{"finish_reason": "stop"}],
    }
    assert kept.outputs[0].text == "[not recorded]"
    assert kept.inputs == exchange.inputs


def test_nothing_is_touched_where_no_rule_holds() -> None:
    exchange = chat()
    assert privacy().of(exchange) is exchange
    assert privacy(CUT).detectors("default", "acme") == {"patterns"}
    assert privacy().detectors("default", "acme") == frozenset()


def test_what_cannot_be_cut_is_dropped_whole() -> None:
    check = Check("patterns", "1", Stage.INPUT, detections=(Detection("email", 1.0, 7, 0, 4),))
    kept = privacy(CUT).of(chat(reply=None, checks=(check,)))
    assert EMAIL not in written(kept)
    assert "privacy: the texts could not be cut" in kept.uncovered


def test_a_huge_body_is_dropped_and_not_walked_to_its_end() -> None:
    kept = privacy(CUT).of(chat(request=body(stop=[["x"]] * 60_000)))
    assert kept.request["dropped"] is True


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (CutSettings(detector="nobody"), "no detector 'nobody'; there are patterns, toxicity"),
        (CutSettings(detector="patterns", labels=("iban",)), "no label 'iban'; it has email, card"),
    ],
)
def test_an_unknown_detector_or_label_stops_the_start(cut: CutSettings, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        privacy(PrivacySettings(cut=(cut,)))


@given(
    st.text(max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=5),
)
def test_masking_keeps_the_length_and_all_that_is_outside(text: str, pairs: list) -> None:
    spans = [(min(pair), max(pair), "label") for pair in pairs]
    kept = masked(text, spans)
    assert len(kept) == len(text)
    for position, character in enumerate(text):
        inside = any(start <= position < end for start, end, _ in spans)
        assert inside or kept[position] == character


@pytest.mark.parametrize(
    ("label", "length", "expected"), [("email", 9, "[email]··"), ("email", 3, "···")]
)
def test_a_mask_names_its_label_where_there_is_room(label, length, expected) -> None:
    assert mask(label, length) == expected


def test_a_pseudonym_is_the_same_again_and_differs_between_tenants() -> None:
    first = pseudonym(SECRET, "acme", "ann")
    assert pseudonym(SECRET, "acme", "ann") == first == pseudonym(SECRET, "acme", first)
    assert len({first, pseudonym(SECRET, "globex", "ann"), pseudonym(b"other", "acme", "ann")}) == 3
