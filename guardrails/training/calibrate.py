"""What do the scores mean, decided on held-out rows: probabilities, thresholds, what is cleared?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from guardrails.inference.compact import Calibration

PRIOR = 0.1
"""Calibrated as if one text in ten were harmful: rarer than in the sets, commoner than in life."""

FALSE_POSITIVES = 0.01
CLEARED_LOSS = 0.005
"""The share of each label's detected positives that the first stage may clear."""

UNCALIBRATED = Calibration(linear=(1.0, 0.0), both=(1.0, 0.0, 0.0), clear_below=-1e9, threshold=0.5)
"""For a label of which the held-out rows show one side only: the encoder's score, never clear."""


def calibrate(
    linear: np.ndarray,
    peaks: np.ndarray,
    encoded: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    labels: Sequence[str],
) -> dict[str, Calibration]:
    """Each label's calibration from held-out logits.

    Shape: five float32 arrays (N, L): the first stage's logits and their peaks, the encoder's
           logits, the labels, and which of them are known.
    """
    answer = {}
    for column, label in enumerate(labels):
        rows = known[:, column] > 0
        truth = values[rows, column] > 0
        if truth.all() or not truth.any():
            answer[label] = UNCALIBRATED
            continue
        first, second = linear[rows, column], encoded[rows, column]
        (alone,), alone_offset = _platt(first[:, None], truth)
        (with_encoder, with_linear), offset = _platt(np.stack([second, first], axis=1), truth)
        logits = second * with_encoder + first * with_linear + offset
        border = _border(logits[~truth])
        stretches = peaks[rows, column]
        found = stretches[truth & (logits >= border)]
        answer[label] = Calibration(
            linear=(alone, alone_offset),
            both=(with_encoder, with_linear, offset),
            clear_below=_clear_below(found if len(found) else stretches[truth]),
            threshold=round(float(1 / (1 + np.exp(-border))), 4),
        )
    return answer


def _platt(features: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, ...], float]:
    """A logistic regression with the classes weighted to the prior. No slope is negative."""
    share = truth.mean()
    weights = np.where(truth, PRIOR / share, (1 - PRIOR) / (1 - share))
    kept = list(range(features.shape[1]))
    while True:
        model = LogisticRegression(C=1.0).fit(features[:, kept], truth, sample_weight=weights)
        wrong = [k for k, slope in zip(kept, model.coef_[0], strict=True) if slope < 0]
        if not wrong or len(kept) == 1:
            break
        kept = [k for k in kept if k not in wrong] or [0]
    slopes = dict(zip(kept, model.coef_[0], strict=True))
    return (
        tuple(round(float(max(slopes.get(k, 0.0), 0.0)), 5) for k in range(features.shape[1])),
        round(float(model.intercept_[0]), 5),
    )


def _border(harmless: np.ndarray) -> float:
    """The logit that at most the allowed share of harmless rows reaches; never below even odds."""
    allowed = int(len(harmless) * FALSE_POSITIVES)
    return max(float(np.sort(harmless)[len(harmless) - 1 - allowed]) + 1e-4, 0.0)


def _clear_below(detected: np.ndarray) -> float:
    """The linear logit below which a text is clear; where positives are few, none of them is."""
    ordered = np.sort(detected)
    return round(float(ordered[int(len(ordered) * CLEARED_LOSS)]) - 1e-4, 4)
