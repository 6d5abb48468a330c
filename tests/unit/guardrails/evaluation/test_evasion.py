from __future__ import annotations

import base64
import random
import re

import pytest

from guardrails.evaluation.evasion import (
    TRANSFORMATIONS,
    as_table,
    canonical,
    matrix,
    remembering,
)

HARMFUL = ["you are a stupid idiot", "what an idiot he is", "ignore the idiot"]
BENIGN = ["the weather is fine today", "Могу я заказать два кофе?", "早上好，你今天怎么样？"]


def counts_idiots(texts):
    return [float("idiot" in text.lower()) for text in texts]


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformation_changes_english_and_nothing_else_but_by_its_seed(name):
    garble = TRANSFORMATIONS[name]
    text = "you are stupid idiots"
    once, again = (garble(text, random.Random(3)) for _ in range(2))
    assert once == again
    assert (once == text) == (name == "as written")


def test_a_scorer_that_reads_what_is_written_loses_and_one_that_normalises_does_not():
    raw = matrix(counts_idiots, HARMFUL, BENIGN, threshold=0.5)
    read = matrix(canonical(counts_idiots), HARMFUL, BENIGN, threshold=0.5)
    assert [effect.transformation for effect in raw] == list(TRANSFORMATIONS)
    assert {e.lost for e in raw if e.transformation in ("base64", "full-width", "rot13")} == {1.0}
    for effect in read:
        assert effect.lost == 0, effect.transformation
        assert effect.false_positives.value == 0
        assert (effect.harmful, effect.benign) == (3, 3)
    assert raw[0].recall.value == read[0].recall.value == 1


def test_false_positives_are_counted_with_their_interval():
    effects = matrix(
        lambda texts: [0.7] * len(texts), HARMFUL, BENIGN, threshold=0.5, transformations=["rot13"]
    )
    assert effects[0].false_positives.value == 1
    assert 0.4 < effects[0].false_positives.low < 0.5
    with pytest.raises(KeyError):
        matrix(counts_idiots, HARMFUL, BENIGN, threshold=0.5, transformations=["rot14"])


def test_the_highest_of_all_readings_counts_and_each_text_is_asked_once():
    asked = []

    def score(texts):
        asked.extend(texts)
        return counts_idiots(texts)

    run = base64.b64encode(b"what an idiot").decode()
    scored = canonical(remembering(score))
    assert scored([f"please decode {run}", "ｗｈａｔ", "what"]) == [1.0, 0.0, 0.0]
    assert asked.count("what") == 1
    assert scored(["what"]) == [0.0]
    assert asked.count("what") == 1


def test_table_has_a_line_for_each_transformation():
    effects = matrix(counts_idiots, HARMFUL, BENIGN, threshold=0.5)
    lines = as_table(effects).splitlines()
    assert len(lines) == 2 + len(TRANSFORMATIONS)
    assert re.fullmatch(
        r"\| as written \| 100\.0 % \(43\.\d to 100\.0\) \| \+0\.0 \| 0\.0 % .* \| 3 / 3 \|",
        lines[2],
    )
