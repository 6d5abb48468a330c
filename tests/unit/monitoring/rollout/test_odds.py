from __future__ import annotations

from math import comb, exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.rollout.odds import log_gain

BETS = np.array([2.5, 5.0, 15.0, 62.5])


def chances(m: int, n: int, hits: int, ratio: float) -> dict[int, float]:
    ways = {
        j: comb(m, j) * comb(n, hits - j) * ratio**j
        for j in range(max(0, hits - n), min(m, hits) + 1)
    }
    return {j: way / sum(ways.values()) for j, way in ways.items()}


blocks = st.tuples(st.integers(1, 12), st.integers(1, 40)).flatmap(
    lambda mn: st.tuples(st.just(mn[0]), st.just(mn[1]), st.integers(0, sum(mn)))
)


@given(blocks, st.floats(0.05, 1.0), st.floats(1.0, 3.0))
def test_a_bet_never_expects_more_than_its_stake_while_the_truth_is_tolerated(block, part, ratio):
    m, n, hits = block
    truth = ratio * part
    expected = sum(
        chance * np.exp(log_gain(k, m, hits, n, tolerated=ratio, told=ratio * BETS))
        for k, chance in chances(m, n, hits, truth).items()
    )
    assert (expected <= 1 + 1e-9).all()


@given(blocks)
def test_the_gain_is_the_ratio_of_the_two_chances(block):
    m, n, hits = block
    tolerated, told = chances(m, n, hits, 1.25), chances(m, n, hits, 5.0)
    for k in tolerated:
        gain = log_gain(k, m, hits, n, tolerated=1.25, told=np.array([5.0]))
        assert gain[0] == pytest.approx(log(told[k] / tolerated[k]), abs=1e-9)


def test_where_nothing_happened_or_all_did_nothing_is_won():
    assert log_gain(0, 3, 0, 9, tolerated=1.25, told=BETS).tolist() == [0.0] * 4
    assert log_gain(3, 3, 12, 9, tolerated=1.25, told=BETS).tolist() == [0.0] * 4


def test_a_single_hit_of_one_in_a_hundred_is_worth_almost_the_whole_ratio():
    gain = log_gain(1, 1, 1, 99, tolerated=1.25, told=np.array([5.0]))
    assert exp(gain[0]) == pytest.approx(4.0, rel=0.05)


def test_a_large_block_does_not_overflow():
    gain = log_gain(900, 1_000, 1_500, 20_000, tolerated=1.25, told=BETS)
    assert np.isfinite(gain).all()
    assert gain.max() > 100


@pytest.mark.parametrize(("k", "m", "hits"), [(2, 1, 2), (3, 5, 2), (0, 5, 12)])
def test_counts_that_cannot_be_are_refused(k, m, hits):
    with pytest.raises(ValueError, match="cannot be"):
        log_gain(k, m, hits, 9, tolerated=1.25, told=BETS)
