import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from guardrails.evaluation.measures import auc, measure, recall_at, wilson

levels = st.lists(st.integers(0, 8).map(lambda level: level / 8), min_size=1, max_size=40)


@given(levels, levels)
def test_auc_is_the_one_that_others_compute(harmful: list[float], harmless: list[float]) -> None:
    truth = [1] * len(harmful) + [0] * len(harmless)
    expected = roc_auc_score(truth, harmful + harmless)
    assert auc(np.array(harmful), np.array(harmless)) == pytest.approx(expected)


@given(levels, levels, st.sampled_from([0.0, 0.01, 0.05, 0.5]))
def test_recall_at_a_rate_never_costs_more_false_positives(
    harmful: list[float], harmless: list[float], rate: float
) -> None:
    recall = recall_at(np.array(harmful), np.array(harmless), rate)
    best = max(
        np.mean(np.array(harmful) > border)
        for border in [*harmless, 2.0]
        if np.mean(np.array(harmless) > border) <= rate
    )
    assert recall == pytest.approx(best)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (99, 100, 0.9455, 0.9982),
    ],
)
def test_wilson_gives_the_published_bounds(
    successes: int, trials: int, low: float, high: float
) -> None:
    interval = wilson(successes, trials)
    assert interval.value == successes / trials
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=2e-4)


def test_a_threshold_that_splits_all_gets_everything_right() -> None:
    scores = np.array([0.9, 0.8, 0.2, 0.1])
    found = measure("toxicity", scores, np.array([True, True, False, False]), 0.5)
    assert found.auc is not None
    assert found.auc.value == 1.0
    assert found.balanced_accuracy == 1.0
    assert found.accuracy.value == 1.0
    assert (found.positives, found.negatives) == (2, 2)


def test_intervals_of_ranks_hold_the_value_and_repeat() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=400) + np.repeat([1.0, 0.0], 200)
    truth = np.repeat([True, False], 200)
    first, second = (measure("threat", scores, truth, 0.5) for _ in range(2))
    assert first == second
    assert first.auc is not None
    assert first.auc.low < first.auc.value < first.auc.high


def test_harmless_rows_alone_give_false_positives_and_no_auc() -> None:
    found = measure("threat", np.array([0.2, 0.9]), np.array([False, False]), 0.5)
    assert found.auc is None
    assert found.recall is None
    assert found.balanced_accuracy is None
    assert found.false_positives is not None
    assert found.false_positives.value == 0.5
