import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.inference.ngrams import (
    LinearModel,
    Weights,
    grams_of,
    hash_of,
    pair_rows,
    tokens_of,
)

ROWS = 1024
LABELS = ("toxicity", "threat")


def make_weights(seed: int = 1) -> Weights:
    rng = np.random.default_rng(seed)
    return Weights(
        labels=LABELS,
        grams=rng.integers(-127, 128, (ROWS, 2)).astype(np.int8),
        pairs=rng.integers(-127, 128, (ROWS, 2)).astype(np.int8),
        gram_scale=np.array([0.01, 0.02], np.float32),
        pair_scale=np.array([0.03, 0.04], np.float32),
        gram_idf=rng.uniform(1, 9, ROWS).astype(np.float16),
        pair_idf=rng.uniform(1, 9, ROWS).astype(np.float16),
        bias=np.array([-0.5, -2.0], np.float32),
    )


def slowly(weights: Weights, text: str) -> np.ndarray:
    """The same sum, gram by gram."""
    tokens = tokens_of(text)
    total, squares = np.zeros(2), 0.0
    for token in tokens:
        for gram in grams_of(token):
            row = hash_of(gram) % ROWS
            total += weights.grams[row] * weights.gram_scale
            squares += float(weights.gram_idf[row]) ** 2
    for left, right in itertools.pairwise(tokens):
        hashes = np.array([hash_of(f"={left}"), hash_of(f"={right}")], np.uint64)
        (row,) = pair_rows(hashes, ROWS)
        total += weights.pairs[row] * weights.pair_scale
        squares += float(weights.pair_idf[row]) ** 2
    return total / max(squares, 1.0) ** 0.5 + weights.bias


@given(st.text(max_size=200))
def test_remembered_words_give_the_same_logits_as_the_plain_sum(text: str) -> None:
    weights = make_weights()
    model = LinearModel(weights)
    expected = slowly(weights, text)
    for _ in ("new", "remembered"):
        np.testing.assert_allclose(model.logits([text])[0], expected, rtol=1e-3, atol=1e-3)


@given(st.lists(st.text(alphabet="abc ", max_size=40), max_size=12))
def test_a_memory_that_overflows_changes_no_score(texts: list[str]) -> None:
    weights = make_weights()
    small = LinearModel(weights, remembered_tokens=3)
    large = LinearModel(weights)
    np.testing.assert_allclose(small.logits(texts), large.logits(texts), rtol=1e-3, atol=1e-3)
    assert len(small._places) <= 3


def test_an_empty_text_scores_the_bias() -> None:
    weights = make_weights()
    np.testing.assert_array_equal(LinearModel(weights).logits(["", "  "]), [weights.bias] * 2)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Ignore THIS!", ["ignore", "this", "!"]),
        ("a" * 70, ["a" * 32, "a" * 32, "a" * 6]),
        ("###### [INST]", ["####", "##", "[", "inst", "]"]),
        ("Straße 東京", ["straße", "東京"]),
    ],
)
def test_tokens_are_lowered_words_and_short_runs_of_marks(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


def test_the_n_grams_of_a_word_know_its_borders() -> None:
    assert grams_of("ab") == ["=ab", " ab", "ab ", " ab "]


def test_pairs_know_their_order() -> None:
    hashes = np.array([hash_of("=not"), hash_of("=bad")], np.uint64)
    assert pair_rows(hashes, 2**18) != pair_rows(hashes[::-1], 2**18)


def test_weights_survive_the_file(tmp_path: Path) -> None:
    weights = make_weights()
    weights.save(tmp_path / "linear.npz")
    loaded = Weights.load(tmp_path / "linear.npz")
    texts = ["you are a friend", "Kill the process."]
    np.testing.assert_array_equal(
        LinearModel(loaded).logits(texts), LinearModel(weights).logits(texts)
    )
    assert loaded.labels == LABELS


def test_a_long_text_costs_linear_time() -> None:
    model = LinearModel(make_weights())
    text = " ".join(f"word{n % 997}" for n in range(100_000))
    began = time.process_time()
    model.logits([text])
    assert time.process_time() - began < 2.0
