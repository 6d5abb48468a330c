"""What would Evidently's default thresholds have raised over the same months?

Its rules for one column, computed from the counts that were drawn: against a reference of more than
1,000 rows a Jensen–Shannon distance of 0.1 for a category and a normed Wasserstein distance of 0.1
for a number; against a smaller one a z-test or Kolmogorov–Smirnov at p < 0.05. Each day is held
against the whole reference, as its drift preset does.

Source: evidently 0.7.23, `calculations/stattests/registry.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.evidence import Floats
from monitoring.drift.scores import CUTS
from monitoring.simulation.traffic import MONTH_DAYS, PARTS, REFERENCE_DAYS, Traffic

DISTANCE = 0.1
P = 0.05
SMALL = 1_000
_Z = 1.959963984540054
_KS = 1.358
"""Kolmogorov's critical value at 0.05."""

_WIDTHS = np.diff(CUTS, prepend=0.0, append=1.0)
_SPREAD = 12**-0.5


def flagged(traffic: Traffic) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """The columns, and which of them drift on which day; shape (months, columns, slices, days)."""
    names: list[str] = []
    found: list[NDArray[np.bool_]] = []
    for name, hits in traffic.hits.items():
        by_day = (*hits.shape[:2], REFERENCE_DAYS + MONTH_DAYS, PARTS)
        names.append(name)
        found.append(_rate(hits.reshape(by_day).sum(-1), traffic.n[name].reshape(by_day).sum(-1)))
    for name, hits in traffic.daily_hits.items():
        names.append(name)
        found.append(_rate(hits, traffic.daily_n[name]))
    for name, bins in traffic.bins.items():
        names.append(name)
        found.append(_number(bins.astype(np.float64)))
    return tuple(names), np.stack(found, axis=1)


def _rate(hits: Floats, n: Floats) -> NDArray[np.bool_]:
    old_hits = hits[..., :REFERENCE_DAYS].sum(-1, keepdims=True)
    old_n = n[..., :REFERENCE_DAYS].sum(-1, keepdims=True)
    new_hits, new_n = hits[..., REFERENCE_DAYS:], n[..., REFERENCE_DAYS:]
    old, new = old_hits / np.maximum(old_n, 1), new_hits / np.maximum(new_n, 1)
    middle = (old + new) / 2
    distance = np.sqrt((_kl(old, middle) + _kl(new, middle)) / 2)
    pooled = (old_hits + new_hits) / np.maximum(old_n + new_n, 1)
    error = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(old_n, 1) + 1 / np.maximum(new_n, 1)))
    by_test = np.abs(new - old) > _Z * np.maximum(error, 1e-12)
    drifted = np.where(old_n <= SMALL, by_test, distance >= DISTANCE)
    return np.asarray(drifted & (new_n > 0), dtype=bool)


def _number(bins: Floats) -> NDArray[np.bool_]:
    old = bins[:, :, :REFERENCE_DAYS].sum(2, keepdims=True)
    new = bins[:, :, REFERENCE_DAYS:]
    old_n, new_n = old.sum(-1), new.sum(-1)
    old_share = np.cumsum(old, -1) / np.maximum(old_n, 1)[..., None]
    new_share = np.cumsum(new, -1) / np.maximum(new_n, 1)[..., None]
    apart = np.abs(old_share - new_share)
    by_test = apart.max(-1) > _KS * np.sqrt(1 / np.maximum(old_n, 1) + 1 / np.maximum(new_n, 1))
    distance = (apart * _WIDTHS).sum(-1) / _SPREAD
    drifted = np.where(old_n <= SMALL, by_test, distance >= DISTANCE)
    return np.asarray(drifted & (new_n > 0), dtype=bool)


def _kl(share: Floats, middle: Floats) -> Floats:
    def part(p: Floats, q: Floats) -> Floats:
        return np.where(p > 0, p * np.log(np.maximum(p, 1e-12) / np.maximum(q, 1e-12)), 0.0)

    return part(share, middle) + part(1 - share, 1 - middle)
