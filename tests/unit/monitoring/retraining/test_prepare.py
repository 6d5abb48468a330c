from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.detectors import finders_of
from guardrails.errors import ConfigError
from guardrails.prompt.render import load_templates, render
from guardrails.settings import Settings
from guardrails.types import Passage
from monitoring.retraining.candidates import Candidate
from monitoring.retraining.plan import Plan, Prepared
from monitoring.retraining.prepare import prepare, redactor, target_of
from monitoring.retraining.rows import HELD_OUT, TRAIN, Row, encoded, read_rows

NOW = datetime(2026, 11, 26, tzinfo=UTC)
TEMPLATES = load_templates(Settings().templates)
PLAIN, GROUNDED = TEMPLATES["plain@1"], TEMPLATES["grounded@1"]
REDACT = redactor(finders_of({})["patterns"])
WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "islet",
    "jetty",
    "knoll",
    "larch",
    "maple",
    "nadir",
]


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {"model": "m", "base": "b", "since": NOW, "until": NOW}
    return Plan(**{**values, "least_rows": 2, **changes})


def candidate(n: int, **changes: Any) -> Candidate:
    words = " ".join(WORDS[(n * step + step) % len(WORDS)] for step in range(1, 8))
    values: dict[str, Any] = {
        "id": f"{n:04}",
        "conversation": f"c{n}",
        "tenant": "acme",
        "route": "default",
        "messages": [{"role": "user", "content": f"Tell me of {n * 31} {words}?"}],
        "answer": f"It is {n * 17} as {words} says.",
        "output_harmful": False,
    }
    return Candidate(**{**values, **changes})


def prepared(into: Path, candidates: list[Candidate], **changes: Any) -> tuple[Prepared, list[Row]]:
    done = prepare(plan(**changes), candidates, PLAIN, REDACT, into)
    return done, [*read_rows(into / TRAIN), *read_rows(into / HELD_OUT)]


def test_the_same_candidates_give_the_same_bytes(tmp_path: Path) -> None:
    candidates = [candidate(n) for n in range(40)]
    one, _ = prepared(tmp_path / "a", candidates)
    two, _ = prepared(tmp_path / "b", candidates)
    assert one.dataset_sha256 == two.dataset_sha256
    for name in (TRAIN, HELD_OUT, "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    three, _ = prepared(tmp_path / "c", [*candidates[:-1], candidate(99)])
    assert three.dataset_sha256 != one.dataset_sha256


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 6), min_size=12, max_size=30), st.floats(0.1, 0.5))
def test_no_conversation_stands_on_both_sides(
    tmp_path: Path, conversations: list[int], share: float
) -> None:
    candidates = [candidate(n, conversation=f"c{c}") for n, c in enumerate(conversations)]
    try:
        prepared(tmp_path, candidates, held_out_share=share)
    except ConfigError:
        assert len(set(conversations)) < 3
        return
    train = {row.conversation for row in read_rows(tmp_path / TRAIN)}
    held = {row.conversation for row in read_rows(tmp_path / HELD_OUT)}
    assert train
    assert held
    assert train.isdisjoint(held)


def test_like_questions_of_other_conversations_stay_on_one_side(tmp_path: Path) -> None:
    long = "how is the pump in the cellar of the old mill by the river oiled in a cold winter"
    alike = [
        candidate(n, messages=[{"role": "user", "content": f"{long} number {n % 3}"}])
        for n in range(12)
    ]
    _done, rows = prepared(tmp_path, [*alike, *(candidate(n) for n in range(20, 40))])
    held = {row.id for row in read_rows(tmp_path / HELD_OUT)}
    assert len({row.id in held for row in rows if row.id < "0012"}) == 1


def test_what_is_said_twice_or_nearly_is_kept_once(tmp_path: Path) -> None:
    twin = candidate(3)
    nearly = candidate(4, answer=candidate(4).answer + " Indeed.")
    candidates = [candidate(n) for n in range(30)]
    candidates += [
        Candidate(**{**_fields(twin), "id": "9001", "conversation": "x"}),
        Candidate(**{**_fields(nearly), "id": "9002", "conversation": "y"}),
    ]
    _, rows = prepared(tmp_path, candidates, near=0.7)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["left_out"] == {"nearly said before": 1, "said before": 1}
    assert not {"9001", "9002"} & {row.id for row in rows}


def test_rows_are_what_production_renders_and_the_answer_stands_apart(tmp_path: Path) -> None:
    passage = Passage(1, "p", "d", "Pumps", "pumps.md", "Oil of grade 46.", 0.9)
    candidates = [candidate(n, passages=(passage,)) for n in range(10)]
    done = prepare(plan(), candidates, GROUNDED, REDACT, tmp_path)
    assert done.template_hash == GROUNDED.hash
    (row,) = [r for part in (TRAIN, HELD_OUT) for r in read_rows(tmp_path / part) if r.id == "0003"]
    assert row.messages == render(GROUNDED, candidates[3].messages, [passage])
    assert "Oil of grade 46." in row.messages[-1]["content"]
    assert row.answer == candidates[3].answer


def test_personal_data_never_reaches_a_row(tmp_path: Path) -> None:
    mail, card = "ann.miller@example.com", "4111 1111 1111 1111"
    candidates = [
        candidate(
            n,
            messages=[{"role": "user", "content": f"Write to {mail} of {WORDS[n]} number {n}"}],
            answer=f"I wrote to {mail} of {n * 7} and charged {card}.",
            passages=(Passage(1, "", "", "t", "s", f"Mail {mail}", 1.0),),
        )
        for n in range(10)
    ]
    prepared(tmp_path, candidates)
    written = "".join((tmp_path / name).read_text() for name in (TRAIN, HELD_OUT))
    assert mail not in written
    assert card not in written
    assert "I wrote to [" in written


def test_masks_of_the_log_become_their_names() -> None:
    assert REDACT("call [phone]····· now") == "call [phone] now"
    assert REDACT("call ······ now") == "call [removed] now"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "answer"),
        ({"input_harmful": True}, "refusal"),
        ({"output_harmful": True}, "harmful answer"),
        ({"output_harmful": None}, "reviewers disagree"),
        ({"answer": " "}, "no answer"),
        ({"answer": "[not recorded]"}, "not recorded"),
        ({"blocked": True}, "answer"),
        (
            {"blocked": True, "output_harmful": None, "input_harmful": False},
            "blocked answer that nobody judged",
        ),
    ],
)
def test_the_reviewers_decide_what_a_row_teaches(changes: dict[str, Any], kind: str) -> None:
    target, said = target_of(candidate(1, **changes), "I cannot.")
    assert said == kind
    assert target == {"answer": candidate(1).answer, "refusal": "I cannot."}.get(kind)


def test_refusals_keep_to_their_share_and_rows_to_their_budget(tmp_path: Path) -> None:
    candidates = [candidate(n) for n in range(40)]
    # Refusals of unlike questions have the same answer, and are kept all the same.
    candidates += [candidate(n, input_harmful=True) for n in range(40, 80)]
    _, rows = prepared(tmp_path, candidates, most_rows=30, refusal_share=0.2)
    kinds = [row.kind for row in rows]
    assert len(rows) == 30
    assert kinds.count("refusal") == 6


def test_sources_share_the_budget(tmp_path: Path) -> None:
    candidates = [candidate(n, source="alert" if n < 35 else "example") for n in range(40)]
    _, rows = prepared(tmp_path, candidates, most_rows=10)
    assert [row.source for row in rows].count("example") == 5


def test_too_few_rows_say_what_was_left_out(tmp_path: Path) -> None:
    candidates = [candidate(n, output_harmful=None) for n in range(4)]
    with pytest.raises(ConfigError, match="4 reviewers disagree"):
        prepared(tmp_path, candidates)


def test_rows_survive_their_file(tmp_path: Path) -> None:
    row = Row(
        id="1", conversation="c", kind="answer", source="review",
        messages=[{"role": "user", "content": "é\u2028x"}], answer="y\nz",
    )  # fmt: skip
    (tmp_path / "r").write_bytes(encoded([row]))
    assert read_rows(tmp_path / "r") == [row]


def test_the_card_tells_people_what_is_in_it(tmp_path: Path) -> None:
    done, _ = prepared(tmp_path, [candidate(n) for n in range(20)])
    card = (tmp_path / "card.md").read_text()
    assert done.dataset_sha256 in card
    assert f"{done.train} rows to train on, {done.held_out} held out" in card
    assert "| review | 20 |" in card


def _fields(of: Candidate) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Candidate.__struct_fields__}
