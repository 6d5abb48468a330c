"""Bets on ranks: any column becomes something bounded, and fair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.drift import scores
from monitoring.drift.baseline import Baseline


def counts_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(scores.binned(values, edges), minlength=scores.BINS).astype(float)


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_reference_has_the_mean_rank_of_one_half_whatever_its_shape(power: float):
    values = np.random.default_rng(1).random(4_000) ** power
    counts = counts_of(values, scores.cuts(values))
    assert (counts * scores.ranks(counts)).sum() / counts.sum() == pytest.approx(0.5)
    assert scores.rank_variance(counts) == pytest.approx(1 / 12, rel=0.02)
    assert scores.tail(counts) / counts.sum() == pytest.approx(0.05, abs=0.002)


def test_ties_are_one_bin_and_still_average_to_one_half():
    values = np.array([0.0] * 900 + [1.0] * 100)
    counts = counts_of(values, scores.cuts(values))
    assert sorted(counts[counts > 0].tolist()) == [100.0, 900.0]
    assert (counts * scores.ranks(counts)).sum() / 1000 == pytest.approx(0.5)


@settings(max_examples=40)
@given(st.lists(st.floats(0.01, 1.0), min_size=12, max_size=12), st.integers(1, 3))
def test_every_bet_expects_at_most_one_inside_the_edges(raw: list[float], dispersion: int):
    share = np.array(raw) / sum(raw)
    rank = scores.ranks(np.full(12, 100.0))
    mean = float(share @ rank)
    gains = scores.log_gains(
        np.eye(12),
        rank,
        np.full(12, 1 / 12),
        np.full(12, mean),
        np.full(12, mean),
        np.full(12, float(dispersion)),
    )
    assert (share @ np.exp(gains) <= 1 + 1e-9).all()


def test_edges_leave_room_for_the_tolerance_and_for_a_small_reference():
    big = Baseline(np.array([[0.5]]), np.array([[1e5]]), np.array([1e5]), np.ones(1))
    assert scores.edges(big, np.array([1 / 12]))[1] == pytest.approx(0.53)
    small = Baseline(big.mean, big.worth, np.array([100.0]), big.dispersion)
    assert scores.edges(small, np.array([1 / 12]))[0] == pytest.approx(0.442, abs=0.001)
    assert np.exp(scores.LOG_WEIGHTS).sum() == pytest.approx(1.0)
