"""Have a column's values moved within the reference's distribution? A bet on every value's rank.

The frozen reference cuts a column into bins. What is bet on is bounded, whatever the column was:
the mean rank of the values (1/2 in the reference; the share of pairs in which the new one is the
higher), and, as a rate, the share above the reference's 95th percentile. So scores and descriptors
join the family that the rates are in, and Evidently's distance beside them says how much it is.

Source: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting,
JRSS B 86 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.baseline import SURENESS, Baseline
from monitoring.drift.evidence import Floats

TOLERANCE = 0.03
"""The mean rank may lie this far from the reference's without being called a change."""

TAIL = 0.95
CUTS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, TAIL, 0.99])
BINS = len(CUTS) + 1

STEPS = np.array([0.03, 0.08, 0.20, -0.03, -0.08, -0.20])
"""How far beyond the edge the mean rank is bet to lie."""

LOG_WEIGHTS = np.log(np.array([0.15, 0.25, 0.10, 0.15, 0.25, 0.10]))
_RISES = STEPS > 0
_STAKE = 0.8
"""The boldest bet: one value never takes more than this share of what was won."""


def cuts(values: Sequence[float]) -> Floats:
    """Where a column of the reference is cut; BINS - 1 edges, with ties where values are tied."""
    return np.quantile(np.asarray(values, dtype=np.float64), CUTS)


def binned(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """The bin of each value; the last two of the BINS lie above the 95th percentile."""
    return np.asarray(np.searchsorted(edges, values, side="left"), dtype=np.int64)


def ranks(counts: Floats) -> Floats:
    """The mean rank of each bin's values in the reference, in [0, 1]; shape (…, streams, bins)."""
    total = np.maximum(counts.sum(-1, keepdims=True), 1.0)
    return (np.cumsum(counts, axis=-1) - counts / 2) / total


def rank_variance(counts: Floats) -> Floats:
    """The variance of one value's rank in the reference: 1/12 for a column without ties."""
    total = np.maximum(counts.sum(-1), 1.0)
    rank = ranks(counts)
    return np.maximum((counts * (rank - 0.5) ** 2).sum(-1) / total, 1e-4)


def tail(counts: Floats) -> Floats:
    """How many values lie above the reference's 95th percentile."""
    return counts[..., -2:].sum(-1)


def edges(
    normal: Baseline, variance: Floats, *, tolerance: float = TOLERANCE
) -> tuple[Floats, Floats]:
    """The lowest and the highest mean rank that are no change, by stream and phase."""
    error = np.sqrt(variance * normal.dispersion / np.maximum(normal.n, 1.0))
    room = np.maximum(tolerance, SURENESS * error)[..., None]
    return np.clip(normal.mean - room, 0.02, 0.98), np.clip(normal.mean + room, 0.02, 0.98)


def log_gains(
    counts: Floats, rank: Floats, variance: Floats, low: Floats, high: Floats, dispersion: Floats
) -> Floats:
    """What each alternative wins in a window; shape (…, streams, alternatives).

    Each value of rank r wins 1 + λ (r - edge): at most 1 on average inside the edges, for λ > 0
    holds the upper edge and λ < 0 the lower one.
    """
    edge = np.where(_RISES, high[..., None], low[..., None])
    bold = np.clip(STEPS / variance[..., None], -_STAKE / (1 - edge), _STAKE / edge)
    won = np.log1p(bold[..., None] * (rank[..., None, :] - edge[..., None]))
    return np.asarray((counts[..., None, :] * won).sum(-1) / dispersion[..., None])
