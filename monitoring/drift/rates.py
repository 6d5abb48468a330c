"""Has a rate left what it was, by more than we tolerate? A bet on every exchange.

The null hypothesis is composite: the rate lies within the tolerance of the same phase of the
reference, or within what the reference is unsure of, whichever is wider. An alternative bets that
the odds are a multiple of the nearest edge; its gain over n exchanges with k hits is the likelihood
ratio against that edge, which expects at most 1 wherever inside the rate really is.

Source: V. Vovk and R. Wang, E-values, Ann. Stat. 49 (2021); I. Waudby-Smith and A. Ramdas,
Estimating means of bounded random variables by betting, JRSS B 86 (2024).
"""

from __future__ import annotations

import numpy as np

from monitoring.drift.baseline import Baseline, wilson_bounds
from monitoring.drift.evidence import Floats

TOLERANCE = 0.15
"""The odds may rise or fall by this share without being called a change."""

POINTS = 0.001
"""Nor is a change of a tenth of a percentage point called one, however rare the thing is."""

ODDS = np.array([1.3, 1.75, 2.5, 6.0, 1 / 1.4, 1 / 2.5, 1 / 10])
LOG_WEIGHTS = np.log(np.array([0.10, 0.40, 0.15, 0.05, 0.10, 0.15, 0.05]))
_RISES = ODDS > 1.0


def edges(
    normal: Baseline, *, tolerance: float = TOLERANCE, points: float = POINTS
) -> tuple[Floats, Floats]:
    """The lowest and the highest rate that are no change, by stream and phase."""
    worth = normal.n[..., None] / normal.dispersion[..., None] + 1.0
    unsure_low, unsure_high = wilson_bounds(normal.mean, worth)
    low = np.minimum(_times(normal.mean, 1 / (1 + tolerance)), normal.mean - points)
    high = np.maximum(_times(normal.mean, 1 + tolerance), normal.mean + points)
    return (
        np.clip(np.minimum(low, unsure_low), 1e-9, 1 - 1e-9),
        np.clip(np.maximum(high, unsure_high), 1e-9, 1 - 1e-9),
    )


def log_gains(hits: Floats, n: Floats, low: Floats, high: Floats, dispersion: Floats) -> Floats:
    """What each alternative wins in a window; shape (…, streams, alternatives).

    No exchange, no gain: the logarithm is 0. `low` and `high` are of the window's phase.
    """
    edge = np.where(_RISES, high[..., None], low[..., None])
    told = _times(edge, ODDS)
    won = hits[..., None] * np.log(told / edge)
    lost = (n - hits)[..., None] * (np.log1p(-told) - np.log1p(-edge))
    return np.asarray((won + lost) / dispersion[..., None])


def _times(rate: Floats, factor: Floats | float) -> Floats:
    """The rate whose odds are `factor` times those of `rate`."""
    return np.asarray(rate * factor / (1 - rate + rate * factor))
