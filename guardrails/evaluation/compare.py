"""Is one version of a detector better than another on the same rows?"""

from __future__ import annotations

import msgspec
import numpy as np

from guardrails.evaluation.measures import Interval, auc, recall_at


class Difference(msgspec.Struct, frozen=True):
    """This version less the other, with a 95 % interval; `sure` if that leaves 0 out."""

    measure: str
    this: float
    other: float
    difference: Interval
    sure: bool


class Comparison(msgspec.Struct, frozen=True):
    """Two versions on one label of one file."""

    file: str
    label: str
    rows: int
    differences: tuple[Difference, ...]


def compare(
    these: np.ndarray,
    others: np.ndarray,
    truth: np.ndarray,
    thresholds: tuple[float, float],
    *,
    resamples: int = 1_000,
    seed: int = 17,
) -> tuple[Difference, ...]:
    """The differences by a paired bootstrap: both versions are measured on the same drawn rows.

    Shape: float (N,) twice and bool (N,); rows are drawn within each class. `thresholds` are this
           version's and the other's.
    Limits: a measure that needs a class which is missing is left out.
    Cost:   `resamples` × 4 sorts.
    """
    harmful, harmless = np.flatnonzero(truth), np.flatnonzero(~truth)
    rng = np.random.default_rng(seed)
    points = [
        _measures(s, harmful, harmless, t) for s, t in zip((these, others), thresholds, strict=True)
    ]
    names = list(points[0])
    drawn = np.empty((resamples, len(names)))
    for row in drawn:
        bad = rng.choice(harmful, len(harmful)) if len(harmful) else harmful
        good = rng.choice(harmless, len(harmless)) if len(harmless) else harmless
        this, other = (
            _measures(s, bad, good, t) for s, t in zip((these, others), thresholds, strict=True)
        )
        row[:] = [this[name] - other[name] for name in names]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return tuple(
        Difference(
            name,
            points[0][name],
            points[1][name],
            Interval(points[0][name] - points[1][name], float(low[i]), float(high[i])),
            bool(low[i] > 0 or high[i] < 0),
        )
        for i, name in enumerate(names)
    )


def _measures(
    scores: np.ndarray, harmful: np.ndarray, harmless: np.ndarray, threshold: float
) -> dict[str, float]:
    bad, good = scores[harmful], scores[harmless]
    found = {}
    if len(bad) and len(good):
        found = {"AUC": auc(bad, good), "recall at 5 % FP": recall_at(bad, good, 0.05)}
    if len(bad):
        found["recall at the threshold"] = float((bad >= threshold).mean())
    if len(good):
        found["false positives at the threshold"] = float((good >= threshold).mean())
    return found
