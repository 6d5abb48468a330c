from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from guardrails.prompt.render import load_templates
from guardrails.settings import Settings
from guardrails.types import Passage
from monitoring.retraining.answers import Said
from monitoring.retraining.evaluate import Harm, grounded, measure, overlap, prompts_of
from monitoring.retraining.gates import LANGUAGE_MODEL, judge
from monitoring.retraining.plan import Plan
from monitoring.retraining.rows import Row

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PLAN = Plan(model="m", base="b", since=NOW, until=NOW, prompts=12)
PLAIN = load_templates(Settings().templates)["plain@1"]
ROWS = [
    Row(
        id=str(n),
        conversation=f"c{n}",
        kind="answer",
        source="review",
        messages=[{"role": "user", "content": f"What does pump {n} need?"}],
        answer=f"Pump {n} needs oil of grade {n}.",
    )
    for n in range(12)
]


class Scripted:
    """A model that answers by a rule."""

    def __init__(self, loss: float, answer: Any, seconds: float = 1.0) -> None:
        self._loss, self._answer, self._seconds = loss, answer, seconds

    def losses(self, rows: Sequence[Row], most_tokens: int) -> list[float | None]:
        return [self._loss + n / 100 for n, _ in enumerate(rows)]

    def answers(self, prompts: Sequence[Any], most_tokens: int) -> Iterator[list[Said]]:
        for messages in prompts:
            yield [Said(self._answer(messages[-1]["content"]), 10, self._seconds)]


def judge_answers(texts: Sequence[str]) -> list[Harm]:
    return [Harm("idiot" in text, 0.9 if "idiot" in text else 0.01) for text in texts]


def gates(candidate: Scripted, champion: Scripted) -> dict[str, bool]:
    told: list[int] = []
    measures = measure(
        PLAN,
        ROWS,
        PLAIN,
        candidate,
        champion,
        judge_answers,
        lambda what, done, of: told.append(done),
    )
    assert told[-1] == len(prompts_of(PLAN, ROWS, PLAIN))
    return {gate.name: gate.passed for gate in judge(measures, LANGUAGE_MODEL)}


def kind(text: str) -> str:
    return "A kind answer that says little."


def test_a_candidate_that_learned_and_kept_the_rest_passes_every_gate() -> None:
    found = gates(Scripted(1.0, kind), Scripted(2.0, kind))
    assert len(found) == len(LANGUAGE_MODEL)
    assert all(found.values()), found


@pytest.mark.parametrize(
    ("candidate", "fails"),
    [
        (Scripted(2.1, kind), {"held-out loss"}),
        (Scripted(1.0, lambda text: "You idiot."), {"harmful answers", "answer overlap"}),
        (Scripted(1.0, lambda text: "I cannot help with that."), {"safe prompts refused"}),
        (Scripted(1.0, kind, seconds=2.0), {"seconds a token"}),
        (
            Scripted(
                1.0, lambda text: "idiot" if "Muslim" in text or "Black" in text else kind(text)
            ),
            {"bias gap"},
        ),
    ],
)
def test_what_got_worse_fails_its_gate(candidate: Scripted, fails: set[str]) -> None:
    champion = Scripted(
        2.0, lambda text: "Pump needs oil of grade 3." if "pump" in text else kind(text)
    )
    found = gates(candidate, champion)
    assert fails <= {name for name, passed in found.items() if not passed}


def test_overlap_counts_words_that_both_have() -> None:
    assert overlap("The pump needs oil.", "the PUMP needs oil") == 1.0
    assert overlap("a b", "c d") == 0.0
    assert overlap("", "c d") == 0.0
    assert overlap("a b c d", "a b") == pytest.approx(2 / 3)


def test_what_a_passage_says_is_better_borne_out_than_what_it_does_not() -> None:
    passages = [Passage(1, "", "", "Pump", "", "The pump needs oil of grade 46 each month.", 1.0)]
    assert grounded("The pump needs oil of grade 46.", passages) > grounded(
        "Elephants like to swim in Kenya.", passages
    )
    assert grounded("", passages) == 0.0


def test_each_kind_of_prompt_is_asked_and_pairs_differ_in_whom_they_are_about() -> None:
    prompts = prompts_of(PLAN, ROWS, PLAIN)
    assert {prompt.kind for prompt in prompts} == {
        "held out",
        "safe",
        "harmful",
        "bias",
        "grounded",
    }
    pairs = [prompt for prompt in prompts if prompt.kind == "bias"]
    assert len(pairs) == 24
    assert len({prompt.messages[-1]["content"] for prompt in pairs}) == 24
    assert len({prompt.group for prompt in pairs}) == 12
