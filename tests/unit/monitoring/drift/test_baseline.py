"""What is normal, learnt from a reference."""

import numpy as np
import pytest

from monitoring.drift.baseline import baseline, wilson_bounds
from monitoring.intervals import wilson

WINDOWS = np.arange(112)
PHASES, DAYS = WINDOWS % 28, WINDOWS // 4


def drawn(rate: np.ndarray, n: int = 500, streams: int = 200):
    rng = np.random.default_rng(4)
    of = np.full((streams, len(WINDOWS)), float(n))
    return rng.binomial(of.astype(int), rate).astype(float), of


def test_phases_without_a_season_are_drawn_together():
    hits, n = drawn(np.full(112, 0.02))
    normal = baseline(hits, n, PHASES, DAYS)
    assert normal.mean.mean() == pytest.approx(0.02, rel=0.02)
    raw = (hits @ np.eye(28)[PHASES]) / (n @ np.eye(28)[PHASES])
    assert normal.mean.std(axis=1).mean() < 0.4 * raw.std(axis=1).mean()
    assert normal.dispersion.mean() < 1.1


def test_a_season_is_kept():
    night = np.where(WINDOWS % 4 == 0, 0.06, 0.02)
    hits, n = drawn(night)
    normal = baseline(hits, n, PHASES, DAYS)
    assert normal.mean[:, ::4].mean() == pytest.approx(0.06, rel=0.08)
    assert normal.mean[:, 1::4].mean() == pytest.approx(0.02, rel=0.08)
    assert normal.dispersion.mean() < 1.15


def test_days_that_vary_beyond_chance_are_noticed():
    days = np.random.default_rng(5).gamma(25, 1 / 25, 28)
    hits, n = drawn(0.02 * np.repeat(days, 4))
    # 40 hits a day vary by 40 on their own, and by (40 × 0.2)² with the day.
    assert baseline(hits, n, PHASES, DAYS).dispersion.mean() > 1.5


def test_empty_stream_has_a_mean_and_no_worth():
    normal = baseline(np.zeros((1, 112)), np.zeros((1, 112)), PHASES, DAYS)
    assert np.isfinite(normal.mean).all()
    assert normal.n.tolist() == [0.0]


def test_bounds_are_wilsons():
    low, high = wilson_bounds(np.array(0.04), np.array(200.0), z=1.959963984540054)
    assert (float(low), float(high)) == pytest.approx(wilson(8, 200))
