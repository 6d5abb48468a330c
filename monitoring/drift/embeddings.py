"""Do people ask about something new? How far each prompt is from all that was asked before.

Three looks at one sample. The novelty rate is the share of prompts farther from the reference than
98 % of the reference's own prompts are from those of other days; other days, because a user who
asks five times in a row is near himself, and a new user is not. A classifier that tells today from
before sees what moves everything a little, and little of a small new topic (area under the curve
0.53 to 0.55 at 5 to 10 %). Crowds are places where many ask today and few asked before: they see a
new topic that lies beside an old one, and they are the evidence to show.

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
Place = tuple[int, NDArray[np.int64]]

FAR = 0.98
CLOSE = (0.002, 0.01, 0.03)
BALLS = 10
_FEWEST = 3
_CHUNK = 1_024
_RIDGE = 0.05
AUC_TOLERANCE = 0.02
LEAST = 100
"""Vectors that each side of the classifier's test needs."""


class Bank(Struct, frozen=True):
    """The reference's prompts: L2-normalised vectors, the day of each, how far is far, how far
    apart the nearest CLOSE of all pairs are, and which of them were far themselves.
    """

    vectors: Vectors
    days: NDArray[np.int64]
    radius: float
    apart: tuple[float, ...]
    far: NDArray[np.bool_]


class Cluster(Struct, frozen=True):
    """Prompts that are near each other and far from the reference."""

    size: int
    since: datetime
    examples: tuple[str, ...]
    cohesion: float


class Usual(Struct, frozen=True):
    """How well days without drift are told apart: the mean of the area under the curve, and how
    much it varies from day to day beyond chance.
    """

    auc: float
    spread: float


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
    some = vectors[:: max(1, len(vectors) // _CHUNK)]
    apart = 1.0 - np.quantile(some @ vectors.T, 1.0 - np.array(CLOSE))
    return Bank(vectors, days, radius, tuple(map(float, apart)), distance > radius)


def distances(reference: Vectors, vectors: Vectors) -> NDArray[np.float32]:
    """The cosine distance of each vector to the nearest of the reference."""
    out = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = 1.0 - (vectors[part] @ reference.T).max(axis=1)
    return out


def crowds(reference: Bank, current: Vectors) -> tuple[float, list[Place]]:
    """Look for places where today is crowded and the reference is not; (log e-value, the places).

    The first half of the day (rows in the order they came) says where to look: in balls of three
    widths around its prompts. The second half is what is bet on: the null is that a ball holds at
    most twice the share that the reference has there, with room for chance. The BALLS are chosen
    before the second half is seen, so the mean of their e-values is one too.
    Shape: a place is its centre's row and all rows of today in it, the most crowded first.
    """
    middle = len(current) // 2
    n_second = len(current) - middle
    if min(middle, len(reference.vectors)) < LEAST:
        return 0.0, []
    now = current[:middle] @ current.T
    then = current[:middle] @ reference.vectors.T
    crowd, usual = [], []
    for apart in reference.apart:
        here = (then >= 1.0 - apart).sum(axis=1)
        usual.append(2 * (here + 2 * np.sqrt(here + 1.0) + 2) / len(reference.vectors))
        crowd.append((now[:, :middle] >= 1.0 - apart).sum(axis=1))
    crowded, edges = np.array(crowd, dtype=np.float64), np.minimum(np.array(usual), 0.5)
    surprise = crowded * np.log(np.maximum(crowded, 1e-9) / (edges * middle)) - crowded
    surprise += edges * middle
    surprise[(crowded < _FEWEST) | (crowded < edges * middle)] = -np.inf
    gains: list[float] = []
    places: list[tuple[float, int, NDArray[np.int64]]] = []
    while len(places) < BALLS and np.isfinite(surprise.max()):
        width, centre = np.unravel_index(int(surprise.argmax()), surprise.shape)
        edge, within = float(edges[width, centre]), now[centre] >= 1.0 - reference.apart[width]
        hits = int(within[middle:].sum())
        for odds in (3.0, 10.0):
            told = edge * odds / (1 - edge + edge * odds)
            lost = (n_second - hits) * log((1 - told) / (1 - edge))
            gains.append(hits * log(told / edge) + lost)
        places.append((max(gains[-2:]), int(centre), np.flatnonzero(within)))
        surprise[:, within[:middle]] = -np.inf
    # A ball that was not opened stakes nothing: its share of the mean stays 1.
    unopened = [0.0] * (2 * BALLS - len(gains))
    log_e = float(np.logaddexp.reduce([*gains, *unopened]) - log(2 * BALLS))
    places.sort(key=lambda place: -place[0])
    return log_e, [(centre, rows) for _, centre, rows in places]


def clusters(
    vectors: Vectors,
    ids: Sequence[str],
    times: Sequence[datetime],
    places: Sequence[Place],
) -> list[Cluster]:
    """What to show of the places that `crowds` found: size, since when, the nearest prompts."""
    found = []
    for centre, rows in places:
        near = vectors[rows] @ vectors[centre]
        order = rows[np.argsort(-near)]
        found.append(
            Cluster(
                size=len(rows),
                since=min(times[i] for i in rows),
                examples=tuple(ids[i] for i in order[:5]),
                cohesion=float(near.mean()),
            )
        )
    return found


def two_sample(
    reference: Vectors, current: Vectors, rng: np.random.Generator, usual: Usual
) -> TwoSample | None:
    """Train a linear classifier on one half of both samples, and test it on the other.

    The current rows stand in the order they came. None below LEAST on either side. The null is
    an area under the curve of at most the usual and AUC_TOLERANCE; the p-value is normal, with the
    variance that both samples and days give it.
    Limits: the same reference serves every day, so what is odd about it is odd every day: the
            tolerance is there for that.
    """
    if min(len(reference), len(current)) < LEAST:
        return None
    auc, error = _told_apart(reference, current, rng)
    beyond = auc - max(0.5, usual.auc) - AUC_TOLERANCE
    p = 0.5 * erfc(beyond / sqrt(2 * (error**2 + usual.spread**2)))
    return TwoSample(auc, p, log_calibrated(p))


def usual(reference: Bank, rng: np.random.Generator, *, most: int = 2_000) -> Usual:
    """How well one day of the reference is told from its other days.

    Topics come and go from day to day; that much is no drift. Days of fewer than 2 × LEAST prompts
    are joined with the next. Limits: `most` prompts of the other days.
    """
    blocks: list[list[int]] = [[]]
    for day in np.unique(reference.days):
        if len(blocks[-1]) >= 2 * LEAST:
            blocks.append([])
        blocks[-1].extend(np.flatnonzero(reference.days == day).tolist())
    usable = [np.array(block) for block in blocks if len(block) >= LEAST]
    if len(usable) < 3:
        return Usual(0.5, AUC_TOLERANCE)
    told = []
    for block in usable:
        others = rng.permutation(np.setdiff1d(np.arange(len(reference.days)), block))[:most]
        told.append(_told_apart(reference.vectors[others], reference.vectors[block], rng))
    aucs = np.array([auc for auc, _ in told])
    beyond_chance = aucs.var(ddof=1) - np.mean([error**2 for _, error in told])
    return Usual(float(aucs.mean()), sqrt(max(beyond_chance, 0.0)))


def _told_apart(
    reference: Vectors, current: Vectors, rng: np.random.Generator
) -> tuple[float, float]:
    """The area under the curve on the halves that the classifier has not seen, and its error."""
    order = rng.permutation(len(reference))
    middle = len(reference) // 2
    old_train, old_test = reference[order[:middle]], reference[order[middle:]]
    # In the order they came: what one user asks in a row must not stand on both sides.
    middle = len(current) // 2
    new_train, new_test = current[:middle], current[middle:]
    shift = new_train.mean(axis=0) - old_train.mean(axis=0)
    # Both samples count alike, however many rows the reference has.
    spread = (_covariance(old_train) + _covariance(new_train)) / 2
    ridge = _RIDGE * np.trace(spread) / len(spread)
    weights = np.linalg.solve(spread + ridge * np.eye(len(spread)), shift)
    low, high = np.sort(old_test @ weights), np.sort(new_test @ weights)
    above = np.searchsorted(low, high, side="left") / len(low)
    below = 1.0 - np.searchsorted(high, low, side="right") / len(high)
    error = sqrt(above.var() / len(high) + below.var() / len(low))
    return float(above.mean()), max(error, 1e-9)


def _covariance(vectors: Vectors) -> Vectors:
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred.T @ centred / len(centred), dtype=np.float32)


def log_calibrated(p: float) -> float:
    """The logarithm of an e-value from a p-value, by the mixture of all powers of it.

    Shape: (1 - p + p ln p) / (p ln² p), which integrates to 1; 0.5 at p = 1.
    """
    p = min(max(p, 1e-300), 1.0)
    if p > 1 - 1e-4:
        return log(0.5)
    logarithm = log(p)
    return log((1 - p + p * logarithm) / (p * logarithm * logarithm))
