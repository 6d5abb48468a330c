"""What do scores and true labels say about a detector, and how sure is each number?"""

from __future__ import annotations

import math

import msgspec
import numpy as np

_Z = 1.959964


class Interval(msgspec.Struct, frozen=True):
    """A value with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


class Measures(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one label of a detector did on one set of rows.

    `auc` and the recalls at a false-positive rate are None where one of the classes is missing, as
    are `recall` (no positives), `false_positives` (no negatives) and `balanced_accuracy`.
    """

    label: str
    positives: int
    negatives: int
    threshold: float
    accuracy: Interval
    auc: Interval | None = None
    recall_at_1: Interval | None = None
    recall_at_5: Interval | None = None
    recall: Interval | None = None
    false_positives: Interval | None = None
    balanced_accuracy: float | None = None


def measure(
    label: str,
    scores: np.ndarray,
    truth: np.ndarray,
    threshold: float,
    *,
    resamples: int = 300,
    seed: int = 17,
) -> Measures:
    """All measures of one label.

    Shape: float (N,) scores and bool (N,) truth, N ≥ 1.
    Cost:  `resamples` sorts of N scores; intervals of AUC and of recall at a rate are bootstrapped
           within each class, those of plain shares are Wilson's.
    """
    flagged = scores >= threshold
    harmful, harmless = scores[truth], scores[~truth]
    hits, alarms = int(flagged[truth].sum()), int(flagged[~truth].sum())
    ranked = len(harmful) > 0 and len(harmless) > 0
    recall = wilson(hits, len(harmful)) if len(harmful) else None
    false_positives = wilson(alarms, len(harmless)) if len(harmless) else None
    balanced = (
        (recall.value + 1 - false_positives.value) / 2 if recall and false_positives else None
    )
    rank_measures = _bootstrapped(harmful, harmless, resamples, seed) if ranked else {}
    return Measures(
        label=label,
        positives=len(harmful),
        negatives=len(harmless),
        threshold=threshold,
        accuracy=wilson(hits + len(harmless) - alarms, len(scores)),
        recall=recall,
        false_positives=false_positives,
        balanced_accuracy=balanced,
        **rank_measures,
    )


def wilson(successes: int, trials: int) -> Interval:
    """A share with Wilson's 95 % interval; `trials` ≥ 1."""
    share = successes / trials
    spread = 1 + _Z**2 / trials
    middle = (share + _Z**2 / (2 * trials)) / spread
    half = _Z / spread * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def auc(harmful: np.ndarray, harmless: np.ndarray) -> float:
    """How often a harmful text scores above a harmless one; a tie counts half."""
    ordered = np.sort(harmless)
    below = np.searchsorted(ordered, harmful, side="left")
    up_to = np.searchsorted(ordered, harmful, side="right")
    return float((below + up_to).sum() / (2 * len(harmful) * len(harmless)))


def recall_at(harmful: np.ndarray, harmless: np.ndarray, rate: float) -> float:
    """The share of harmful texts above a score that at most `rate` of the harmless ones exceed."""
    allowed = int(len(harmless) * rate)
    border = np.sort(harmless)[len(harmless) - 1 - allowed]
    return float((harmful > border).mean())


def _bootstrapped(
    harmful: np.ndarray, harmless: np.ndarray, resamples: int, seed: int
) -> dict[str, Interval]:
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, 3))
    for row in drawn:
        row[:] = _ranks(rng.choice(harmful, len(harmful)), rng.choice(harmless, len(harmless)))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    names = ("auc", "recall_at_1", "recall_at_5")
    values = _ranks(harmful, harmless)
    return {
        n: Interval(v, float(a), float(b))
        for n, v, a, b in zip(names, values, low, high, strict=True)
    }


def _ranks(harmful: np.ndarray, harmless: np.ndarray) -> tuple[float, float, float]:
    at_1, at_5 = (recall_at(harmful, harmless, rate) for rate in (0.01, 0.05))
    return auc(harmful, harmless), at_1, at_5
