import numpy as np
import pytest

from guardrails.evaluation.curves import curves


def test_a_perfect_detector_goes_through_the_corner() -> None:
    found = curves(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
    assert found.roc == ((0, 0), (0, 0.5), (0, 1), (0.5, 1), (1, 1))
    assert found.precision_recall[1] == (1.0, 1.0)


def test_equal_scores_are_one_point() -> None:
    found = curves(np.full(4, 0.5), np.array([True, False, True, False]))
    assert found.roc == ((0, 0), (1, 1))


def test_the_error_is_nought_for_true_probabilities_and_large_for_a_boaster() -> None:
    rng = np.random.default_rng(6)
    scores = rng.random(20_000)
    truth = rng.random(20_000) < scores
    assert curves(scores, truth).expected_error < 0.01
    assert curves(np.sqrt(scores), truth).expected_error == pytest.approx(1 / 6, abs=0.02)


def test_every_row_is_counted_once() -> None:
    found = curves(np.array([0.0, 1.0, 0.55, 0.049]), np.array([False, True, True, False]))
    assert sum(found.harmless_histogram) == sum(found.harmful_histogram) == 2
    assert sum(b.rows for b in found.bins) == 4
