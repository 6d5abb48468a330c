"""How sure is a difference that was measured on the same prompts twice?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from monitoring.retraining.plan import Estimate, Measure

RESAMPLES = 2_000


def paired(
    name: str,
    unit: str,
    better: str,
    candidate: Sequence[float],
    champion: Sequence[float],
    *,
    clusters: Sequence[str] | None = None,
    seed: int = 17,
) -> Measure:
    """Both means, and the mean difference with its 95 % interval.

    The interval is a bootstrap over whole `clusters` (conversations), as their turns are alike.
    Limits: nothing measured gives None throughout, never 0. One cluster gives no interval.
    """
    if len(candidate) != len(champion):
        raise ValueError("candidate and champion were not measured on the same prompts")
    n = len(candidate)
    if n == 0:
        return Measure(name, unit, better, None, None, Estimate(None, None, None, 0))
    differences = np.asarray(candidate, float) - np.asarray(champion, float)
    low, high = _interval(differences, clusters or [str(i) for i in range(n)], seed)
    estimate = Estimate(float(differences.mean()), low, high, n)
    return Measure(
        name, unit, better, float(np.mean(candidate)), float(np.mean(champion)), estimate
    )


def _interval(
    differences: np.ndarray, clusters: Sequence[str], seed: int
) -> tuple[float | None, float | None]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, cluster in enumerate(clusters):
        members[cluster].append(number)
    if len(members) < 2:
        return None, None
    sums = np.array([differences[rows].sum() for rows in members.values()])
    counts = np.array([len(rows) for rows in members.values()])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
