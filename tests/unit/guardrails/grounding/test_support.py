"""Support: what counts for a claim and what against it."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.grounding.support import FEATURES, Evidence, fitted, stem_of, words_of
from guardrails.types import Passage

ELBE = (
    "The Elbe rises in the Czech Republic and flows 1,094 kilometres to the North Sea at Cuxhaven."
    " Dresden, Magdeburg and Hamburg lie on it. Karl Berger founded the river museum in 1901."
)
RHINE = "The Rhine passes Basel, Cologne and Rotterdam. It is not navigable above Rheinfelden."


def evidence(*texts: str) -> Evidence:
    return Evidence(
        [Passage(n, f"p{n}", "d", "Rivers", "r.md", text, 0.0) for n, text in enumerate(texts, 1)]
    )


RIVERS = evidence(ELBE, RHINE)

SUPPORTED = [
    ("The Elbe flows to the North Sea.", 1),
    ("The Elbe is 1094 kilometres long.", 1),
    ("Dresden and Hamburg lie on the Elbe.", 1),
    ("The museum's founder was Karl Berger.", 1),
    ("The Rhine passes Cologne [2].", 2),
    ("It is not navigable above Rheinfelden.", 2),
    ("**Hamburg**", 1),
]
UNSUPPORTED = [
    "The Elbe flows 1,904 kilometres to the North Sea.",
    "The Elbe rises in Poland and flows to the Baltic Sea.",
    "The Elbe does not rise in the Czech Republic.",
    "The river museum was founded by Anna Novak in 1901.",
    "Photosynthesis takes place in the chloroplasts.",
    "I love the Elbe, we went there every summer with my grandmother.",
    "It is navigable above Rheinfelden with ships of 4,000 tons.",
]


@pytest.mark.parametrize(("claim", "number"), SUPPORTED)
def test_claim_that_stands_in_a_passage_is_supported(claim: str, number: int) -> None:
    support, passage = RIVERS.support(claim)
    assert support > 0.5
    assert passage == number


@pytest.mark.parametrize("claim", UNSUPPORTED)
def test_claim_that_does_not_stand_there_is_not(claim: str) -> None:
    assert RIVERS.support(claim)[0] < 0.5


def test_without_passages_nothing_is_supported() -> None:
    assert evidence().support("The Elbe is long.") == (0.0, None)


@given(st.text(max_size=200), st.lists(st.text(max_size=200), min_size=1, max_size=3))
def test_support_is_a_probability_for_any_text(claim: str, passages: list[str]) -> None:
    held = evidence(*passages)
    support, number = held.support(claim)
    assert 0 <= support <= 1
    assert not math.isnan(support)
    assert number in range(1, len(passages) + 1)
    assert all(0 <= feature <= 1 for feature in held.features(claim)[0])


def test_no_missing_thing_speaks_for_a_claim() -> None:
    model = fitted()
    assert len(model.weights) == len(FEATURES)
    assert all(weight <= 0 for weight in model.weights)


@pytest.mark.parametrize(
    "forms",
    [
        ("founded", "founding", "founder", "founds"),
        ("1,094", "1094"),
        ("seven", "7"),
        ("rivers", "river", "river's"),
        ("stopped", "stopping"),
    ],
)
def test_forms_of_a_word_have_one_stem(forms: tuple[str, ...]) -> None:
    assert len({stem_of(form) for form in forms}) == 1


def test_marks_and_list_numbers_are_no_words() -> None:
    words = words_of("2. **Oil** of `grade` 68 [1, 2] [3]", fitted())
    assert [word.text for word in words] == ["oil", "of", "grade", "68"]


def test_sentence_costs_less_than_a_millisecond() -> None:
    passages = [ELBE * 4] * 4
    claims = [claim for claim, _ in SUPPORTED] + UNSUPPORTED
    took = []
    for _ in range(5):
        started = time.process_time()
        held = evidence(*passages)
        for claim in claims:
            held.support(claim)
        took.append(time.process_time() - started)
    assert min(took) / len(claims) < 0.001
