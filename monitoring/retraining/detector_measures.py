"""Is one compact model better than another on rows that neither was fitted on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from guardrails.evaluation.measures import auc
from guardrails.training.dataset import Row, targets
from monitoring.retraining.plan import Estimate, Measure

RESAMPLES = 1_000


class Scored(Protocol):
    """A model that scores, as far as it matters here."""

    labels: tuple[str, ...]
    thresholds: dict[str, float]


def compared(
    models: Sequence[Scored],
    reviewed: Sequence[Row],
    known: Sequence[Row],
    scored: Sequence[Sequence[np.ndarray]],
    *,
    seed: int,
) -> list[Measure]:
    """The measures that the gates of a detector ask for; candidate first, champion second.

    Shape: `scored` has for `reviewed`, then for `known`, the two models' float (N, L).
    """
    found = []
    for name, rows, scores in zip(
        ("reviewed", "held-out"), (reviewed, known), scored, strict=False
    ):
        ranks, decisions = _paired(models, rows, scores, seed)
        found.append(_measure(f"{name} AUC", ranks, len(rows)))
        if name == "reviewed":
            found.append(_measure("reviewed balanced accuracy", decisions, len(rows)))
            gain = ranks + decisions
            found.append(_measure("gain on reviewed rows", gain, len(rows)))
    return found


def _paired(
    models: Sequence[Scored], rows: Sequence[Row], scores: Sequence[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """AUC and balanced accuracy, both the mean over labels, of both models on the same draws.

    Shape: two float arrays (1 + RESAMPLES, 2); the first line is of the rows themselves. NaN where
           no label has both classes.
    """
    labels = models[0].labels
    truth, mask = targets(rows, labels)
    borders = [np.array([m.thresholds[label] for label in labels], np.float32) for m in models]
    rng = np.random.default_rng(seed)
    everything = np.arange(len(rows))
    draws = [everything, *(rng.choice(everything, len(rows)) for _ in range(RESAMPLES))]
    ranks, decisions = np.full((len(draws), 2), np.nan), np.full((len(draws), 2), np.nan)
    for number, drawn in enumerate(draws):
        for side, values in enumerate(scores):
            each = [
                _one(values[drawn, c], truth[drawn, c], mask[drawn, c], borders[side][c])
                for c in range(len(labels))
            ]
            both = [one for one in each if one is not None]
            if both:
                ranks[number, side], decisions[number, side] = np.mean(both, axis=0)
    return ranks, decisions


def _one(
    values: np.ndarray, truth: np.ndarray, known: np.ndarray, border: float
) -> tuple[float, float] | None:
    bad, good = values[(truth > 0) & (known > 0)], values[(truth == 0) & (known > 0)]
    if not len(bad) or not len(good):
        return None
    return auc(bad, good), float(((bad >= border).mean() + (good < border).mean()) / 2)


def _measure(name: str, both: np.ndarray, n: int) -> Measure:
    whole = both[0]
    if np.isnan(whole).any():
        return Measure(name, "share", "higher", None, None, Estimate(None, None, None, n))
    differences = both[1:, 0] - both[1:, 1]
    low, high = np.nanquantile(differences, [0.025, 0.975])
    estimate = Estimate(float(whole[0] - whole[1]), float(low), float(high), n)
    return Measure(name, "share", "higher", float(whole[0]), float(whole[1]), estimate)
