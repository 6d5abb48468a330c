"""Do people ask about something new? How far each prompt is from all that was asked before.

Two looks at one sample. The novelty rate is the share of prompts farther from the reference than
98 % of the reference's own prompts are from those of other days; other days, because a user who
asks five times in a row is near himself, and a new user is not. A classifier that tells today from
before sees what moves everything a little, and little of a small new topic (area under the curve
0.53 to 0.55 at 5 to 10 %), so novelty carries the weight.

Source: D. Lopez-Paz and M. Oquab, Revisiting classifier two-sample tests, ICLR (2017);
V. Vovk and R. Wang, E-values, Ann. Stat. 49 (2021), for the calibrator.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import erfc, log, sqrt

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

FAR = 0.98
_CHUNK = 1_024
_RIDGE = 0.05
AUC_TOLERANCE = 0.02
LEAST = 100
"""Vectors that each side of the classifier's test needs."""


class Bank(Struct, frozen=True):
    """The reference's prompts: L2-normalised vectors, the day of each, how far is far, and which
    of them were far themselves.
    """

    vectors: Vectors
    days: NDArray[np.int64]
    radius: float
    far: NDArray[np.bool_]


class Cluster(Struct, frozen=True):
    """Prompts that are near each other and far from the reference."""

    size: int
    since: datetime
    examples: tuple[str, ...]
    cohesion: float


class TwoSample(Struct, frozen=True):
    """How well a classifier tells the two samples apart: 0.5 is not at all."""

    auc: float
    p: float
    log_e: float


def bank(vectors: Vectors, days: NDArray[np.int64], *, far: float = FAR) -> Bank:
    """Freeze the reference.

    Cost:   (N × N × 384) multiplications and 4 MB for each 1,024 × 1,000 of them at a time.
    Errors: ValueError where all are of one day: then nothing says how near another day is.
    """
    if len(np.unique(days)) < 2:
        raise ValueError("a reference of prompts must span two days or more")
    nearest = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        near = vectors[part] @ vectors.T
        near[days[part, None] == days[None, :]] = -1.0
        nearest[part] = near.max(axis=1)
    distance = 1.0 - nearest
    radius = float(np.quantile(distance, far))
    return Bank(vectors, days, radius, distance > radius)


def distances(reference: Vectors, vectors: Vectors) -> NDArray[np.float32]:
    """The cosine distance of each vector to the nearest of the reference."""
    out = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = 1.0 - (vectors[part] @ reference.T).max(axis=1)
    return out


def clusters(
    vectors: Vectors,
    ids: Sequence[str],
    times: Sequence[datetime],
    *,
    radius: float,
    least: int = 3,
    most: int = 10,
) -> list[Cluster]:
    """Group what is far from the reference, the largest group first.

    Each group is whatever lies within `radius` of the prompt that has most such neighbours left;
    its first five examples are the nearest to that prompt.
    """
    near = vectors @ vectors.T
    within = near >= 1.0 - radius
    left = np.ones(len(vectors), dtype=bool)
    found: list[Cluster] = []
    while left.any() and len(found) < most:
        counts = (within & left).sum(axis=1) * left
        centre = int(counts.argmax())
        members = np.flatnonzero(within[centre] & left)
        if len(members) < least:
            break
        order = members[np.argsort(-near[centre, members])]
        found.append(
            Cluster(
                size=len(members),
                since=min(times[i] for i in members),
                examples=tuple(ids[i] for i in order[:5]),
                cohesion=float(near[centre, members].mean()),
            )
        )
        left[members] = False
    return found


def two_sample(reference: Vectors, current: Vectors, rng: np.random.Generator) -> TwoSample | None:
    """Train a linear classifier on one half of both samples, and test it on the other.

    None below LEAST on either side. The null is an area under the curve of at most
    0.5 + AUC_TOLERANCE; the p-value is normal, with the variance that both samples give it.
    Limits: `reference` must not have been looked at in an earlier window, or days depend on each
            other: the tolerance is there for what remains of that.
    """
    if min(len(reference), len(current)) < LEAST:
        return None
    halves = []
    for sample in (reference, current):
        order = rng.permutation(len(sample))
        middle = len(sample) // 2
        halves.append((sample[order[:middle]], sample[order[middle:]]))
    (old_train, old_test), (new_train, new_test) = halves
    shift = new_train.mean(axis=0) - old_train.mean(axis=0)
    spread = (np.cov(old_train.T) * len(old_train) + np.cov(new_train.T) * len(new_train)) / (
        len(old_train) + len(new_train)
    )
    ridge = _RIDGE * np.trace(spread) / len(spread)
    weights = np.linalg.solve(spread + ridge * np.eye(len(spread)), shift)
    low, high = np.sort(old_test @ weights), np.sort(new_test @ weights)
    above = np.searchsorted(low, high, side="left") / len(low)
    below = 1.0 - np.searchsorted(high, low, side="right") / len(high)
    auc = float(above.mean())
    error = sqrt(above.var() / len(high) + below.var() / len(low)) or 1e-9
    p = 0.5 * erfc((auc - 0.5 - AUC_TOLERANCE) / error / sqrt(2))
    return TwoSample(auc, p, log_calibrated(p))


def log_calibrated(p: float) -> float:
    """The logarithm of an e-value from a p-value, by the mixture of all powers of it.

    Shape: (1 - p + p ln p) / (p ln² p), which integrates to 1; 0.5 at p = 1.
    """
    p = min(max(p, 1e-300), 1.0)
    if p > 1 - 1e-4:
        return log(0.5)
    logarithm = log(p)
    return log((1 - p + p * logarithm) / (p * logarithm * logarithm))
