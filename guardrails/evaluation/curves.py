"""Which curves show a detector's scores against the truth, and how far are they probabilities?"""

from __future__ import annotations

import msgspec
import numpy as np

from guardrails.evaluation.measures import Interval, wilson

BINS = 10
_MOST_POINTS = 120


class Bin(msgspec.Struct, frozen=True):
    """The rows whose score lies in a tenth of the scale, and the share of them that is harmful."""

    low: float
    rows: int
    mean_score: float
    harmful: Interval


class Curves(msgspec.Struct, frozen=True):
    """What is drawn of one label on one set.

    `roc` holds (false-positive rate, recall), `precision_recall` (recall, precision), both from the
    strictest threshold on. `expected_error` is the expected calibration error over equal bins
    (Naeini et al. 2015): the scores may be right for another share of harmful rows than this set's.
    """

    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float], ...]
    harmless_histogram: tuple[int, ...]
    harmful_histogram: tuple[int, ...]
    bins: tuple[Bin, ...]
    expected_error: float


def curves(scores: np.ndarray, truth: np.ndarray) -> Curves:
    """The curves of one label. Shape: float (N,) and bool (N,), both classes present."""
    order = np.argsort(-scores, kind="stable")
    ranked = truth[order]
    hits, alarms = np.cumsum(ranked), np.cumsum(~ranked)
    # Equal scores are reached together: only the last of them is a point.
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    if len(ends) > _MOST_POINTS:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, _MOST_POINTS).astype(int))]
    recall = hits[ends] / hits[-1]
    false_positives = alarms[ends] / alarms[-1]
    precision = hits[ends] / (hits[ends] + alarms[ends])
    bins = _bins(scores, truth)
    return Curves(
        roc=((0.0, 0.0), *_points(false_positives, recall)),
        precision_recall=_points(recall, precision),
        harmless_histogram=_histogram(scores[~truth]),
        harmful_histogram=_histogram(scores[truth]),
        bins=bins,
        expected_error=sum(b.rows * abs(b.mean_score - b.harmful.value) for b in bins)
        / len(scores),
    )


def _points(across: np.ndarray, up: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 5), round(float(y), 5)) for x, y in zip(across, up, strict=True))


def _histogram(scores: np.ndarray) -> tuple[int, ...]:
    return tuple(np.histogram(scores, bins=2 * BINS, range=(0.0, 1.0))[0].tolist())


def _bins(scores: np.ndarray, truth: np.ndarray) -> tuple[Bin, ...]:
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    found = []
    for place in np.unique(places).tolist():
        inside = places == place
        rows = int(inside.sum())
        harmful = wilson(int(truth[inside].sum()), rows)
        found.append(Bin(place / BINS, rows, float(scores[inside].mean()), harmful))
    return tuple(found)
