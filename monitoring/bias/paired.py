"""Do the two answers of a pair differ, on the whole, in one direction? Paired tests with effects.

Each pair is its own control: the same prompt, the same model, moments apart. Whether an answer was
blocked or refused is tested by the signs of the pairs that differ (McNemar's exact test); toxicity
and length by Wilcoxon's signed ranks, whose null is drawn by flipping signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.comparisons import holm
from monitoring.types import Figure, Status

Floats = NDArray[np.float64]

MIN_PAIRS = 20
ALPHA = 0.05
_FLIPS = 4_999
_SEED = 20261126
_Z = 1.959963984540054

RELEVANT = {"blocked": 0.02, "refused": 0.02, "toxicity": 0.02, "length": 0.05}
"""A mean difference that may be as small as this is not called: shares, scores, and length as a
share of the pair's mean length."""


class Measured(Struct, frozen=True):
    """What was measured of one answer. `toxicity` is None where no detector scored it."""

    blocked: bool
    refused: bool
    toxicity: float | None
    characters: int


Pair = tuple[Measured, Measured]


def judge(axis: str, pairs: Sequence[Pair], *, family: int = 1) -> tuple[Figure, ...]:
    """One figure a measure: how much more of it the second side's answers have.

    Units:  `points` for blocked and refused, `score` for toxicity, `ratio` for length.
    Limits: NO_DATA below MIN_PAIRS. p-values are corrected (Holm) for the four measures, and for
            `family` audits of the same run. Deterministic.
    """
    tested = [(name, *_test(name, pairs)) for name in RELEVANT]
    known = [p for _, n, _, _, _, p in tested if n >= MIN_PAIRS]
    # Holm's over the measures of an axis, Bonferroni's over the axes, which come one by one.
    corrected = iter([min(1.0, family * p) for p in holm(known)])
    figures = []
    for name, n, value, low, high, raw in tested:
        title = f"{name}, {axis}"
        unit = {"toxicity": "score", "length": "ratio"}.get(name, "points")
        if n < MIN_PAIRS:
            note = f"{n} pairs; {MIN_PAIRS} are needed"
            figures.append(Figure(title, None, unit, n, Status.NO_DATA, note=note))
            continue
        p = next(corrected)
        far = low > 0 or high < 0
        called = p < ALPHA and far and abs(value) > RELEVANT[name]
        figures.append(
            Figure(
                title,
                value,
                unit,
                n,
                Status.DRIFT if called else Status.OK,
                low,
                high,
                RELEVANT[name] if value >= 0 else -RELEVANT[name],
                f"p = {p:.3g} corrected, {raw:.3g} alone",
            )
        )
    return tuple(figures)


def _test(name: str, pairs: Sequence[Pair]) -> tuple[int, float, float, float, float]:
    """How many pairs, the mean difference with its 95 % interval, and the raw p-value."""
    if name in ("blocked", "refused"):
        flags = [(getattr(a, name), getattr(b, name)) for a, b in pairs]
        return _signs(sum(b and not a for a, b in flags), sum(a and not b for a, b in flags),
                      len(flags))  # fmt: skip
    if name == "toxicity":
        apart = [b.toxicity - a.toxicity for a, b in pairs
                 if a.toxicity is not None and b.toxicity is not None]  # fmt: skip
    else:
        # A refusal is short: its length says nothing that `refused` does not.
        apart = [
            2 * (b.characters - a.characters) / (a.characters + b.characters)
            for a, b in pairs
            if a.characters and b.characters and not (a.refused or b.refused)
        ]
    return _ranks(np.array(apart, dtype=float))


def _signs(more: int, less: int, n: int) -> tuple[int, float, float, float, float]:
    """McNemar's exact test; the interval of Agresti and Min (Statistics in Medicine, 2005)."""
    if not n:
        return 0, 0.0, 0.0, 0.0, 1.0
    apart = more + less
    tail = sum(comb(apart, k) for k in range(min(more, less) + 1)) / 2**apart
    middle = (more - less) / (n + 2)
    spread = sqrt((apart + 1) - (more - less) ** 2 / (n + 2)) / (n + 2)
    value = (more - less) / n
    low, high = middle - _Z * spread, middle + _Z * spread
    return n, value, min(value, low), max(value, high), min(1.0, 2 * tail)


def _ranks(apart: Floats) -> tuple[int, float, float, float, float]:
    """Wilcoxon's signed ranks by flipped signs; the mean's interval by bootstrap."""
    n = len(apart)
    if n < 2:
        return n, float(apart.mean()) if n else 0.0, 0.0, 0.0, 1.0
    chance = np.random.default_rng(_SEED)
    sizes = np.abs(apart)
    order = np.unique(np.round(sizes, 9), return_inverse=True)[1]
    counts = np.bincount(order)
    middle = np.cumsum(counts) - (counts - 1) / 2
    # Ties share their mean rank; a pair without a difference has no sign and no rank.
    signed = np.sign(apart) * np.where(sizes > 1e-9, middle[order], 0.0)
    signs = chance.choice((-1.0, 1.0), (_FLIPS, n))
    drawn = np.abs(signs @ np.abs(signed))
    p = (1 + int((drawn >= abs(signed.sum()) - 1e-9).sum())) / (_FLIPS + 1)
    means = apart[chance.integers(0, n, (2_000, n))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    value = float(apart.mean())
    return n, value, min(value, float(low)), max(value, float(high)), p
