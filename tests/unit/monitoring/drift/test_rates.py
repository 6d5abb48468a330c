"""Bets on rates: fair where nothing changed, and won where something did."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.drift import evidence, family, rates
from monitoring.drift.baseline import Baseline, baseline

NORMAL = Baseline(
    mean=np.array([[0.02]]), worth=np.array([[14e3]]), n=np.array([14e3]), dispersion=np.ones(1)
)


def test_tolerance_or_what_the_reference_is_unsure_of_whichever_is_wider():
    low, high = rates.edges(NORMAL)
    assert (low[0, 0], high[0, 0]) == pytest.approx((0.01744, 0.02294), abs=1e-4)
    few = Baseline(NORMAL.mean, NORMAL.worth, np.array([500.0]), NORMAL.dispersion)
    low, high = rates.edges(few)
    assert low[0, 0] < 0.013
    assert high[0, 0] > 0.030
    bursts = Baseline(NORMAL.mean, NORMAL.worth, NORMAL.n, np.array([9.0]))
    assert rates.edges(bursts)[1] > 0.026


@settings(max_examples=60)
@given(st.integers(1, 60), st.floats(0.0, 1.0), st.floats(1.0, 5.0))
def test_every_bet_expects_at_most_one_inside_the_edges(n: int, where: float, dispersion: float):
    low, high = np.array([0.1]), np.array([0.2])
    truth = 0.1 + where * 0.1
    hits = np.arange(n + 1.0)
    logs = [0.0, *np.cumsum(np.log(np.arange(1, n + 1)))]
    choose = np.array([logs[n] - logs[k] - logs[n - k] for k in range(n + 1)])
    chance = np.exp(choose + hits * np.log(truth) + (n - hits) * np.log(1 - truth))
    gains = rates.log_gains(hits, np.full(n + 1, float(n)), low, high, np.array([dispersion]))
    assert (chance @ np.exp(gains) <= 1 + 1e-9).all()


def test_no_exchange_wins_and_loses_nothing():
    edges = np.array([0.02]), np.array([0.03])
    gains = rates.log_gains(np.zeros(1), np.zeros(1), *edges, np.ones(1))
    assert np.abs(gains).max() == 0.0


def test_alternatives_are_weighted_to_one():
    assert np.exp(rates.LOG_WEIGHTS).sum() == pytest.approx(1.0)
    assert len(rates.LOG_WEIGHTS) == len(rates.ODDS)


@pytest.mark.parametrize(("rate", "most_days"), [(0.04, 4.0), (0.08, 1.25)])
def test_a_rate_that_rose_is_found_and_dated(rate: float, most_days: float):
    rng = np.random.default_rng(8)
    streams, windows, change = 200, np.arange(112), 20
    n = np.full((streams, 112), 125.0)
    normal = baseline(
        rng.binomial(n.astype(int), 0.02).astype(float), n, windows % 28, windows // 4
    )
    low, high = rates.edges(normal)
    state = evidence.nothing((streams, len(rates.ODDS)))
    needed = np.log(family.DAYS / 0.1)
    found, dated = np.full(streams, np.inf), np.zeros(streams)
    for window in range(140):
        hits = rng.binomial(125, rate if window >= change else 0.02, streams).astype(float)
        phase = window % 28
        gains = rates.log_gains(hits, n[:, 0], low[:, phase], high[:, phase], normal.dispersion)
        state = evidence.add(
            state, gains, window=window, opens=window % 4 == 0, log_cap=family.LOG_CAP
        )
        new = (evidence.log_total(state, rates.LOG_WEIGHTS) >= needed) & np.isinf(found)
        found[new] = (window + 1 - change) / 4
        dated[new] = evidence.onset(state, rates.LOG_WEIGHTS)[new]
    assert (found > 0).mean() > 0.97
    assert np.median(found) <= most_days
    assert abs(np.median(dated) - change) <= 2
