"""Do two shares differ, by how much, and beyond what chance does over many comparisons?"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, exp, lgamma, sqrt

from msgspec import Struct

from monitoring.intervals import wilson

EXACT_HITS = 2_000
"""Up to so many hits Fisher's test is computed; beyond, the normal one is as good."""


class Difference(Struct, frozen=True):
    """How much larger the first share is, its 95 % interval, and how surprising that would be."""

    value: float
    low: float
    high: float
    p: float


def difference(hits: int, n: int, other_hits: int, other_n: int) -> Difference | None:
    """The first share minus the second; None where either was counted on nothing.

    Units:  shares; `p` is two-sided and not corrected for other comparisons.
    Source: R. G. Newcombe, Interval estimation for the difference between independent proportions,
            Statistics in Medicine 17 (1998), method 10: Wilson's intervals, squared and added.
    """
    first, second = wilson(hits, n), wilson(other_hits, other_n)
    if first is None or second is None:
        return None
    a, b = hits / n, other_hits / other_n
    value = a - b
    low = value - sqrt((a - first[0]) ** 2 + (second[1] - b) ** 2)
    high = value + sqrt((first[1] - a) ** 2 + (b - second[0]) ** 2)
    return Difference(value, low, high, p_value(hits, n, other_hits, other_n))


def p_value(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """How likely two equal shares are to differ at least as much; exact for small counts."""
    together, all_n = hits + other_hits, n + other_n
    if min(together, all_n - together) <= EXACT_HITS:
        return _fisher(hits, n, together, all_n)
    pooled = together / all_n
    spread = sqrt(pooled * (1 - pooled) * (1 / n + 1 / other_n))
    return erfc(abs(hits / n - other_hits / other_n) / spread / sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value corrected for there being so many: below 0.05, one false call in 20 families.

    Source: S. Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def _fisher(hits: int, n: int, together: int, all_n: int) -> float:
    """Two-sided: all tables that are no likelier than the one seen."""

    def choose(of: int, some: int) -> float:
        return lgamma(of + 1) - lgamma(some + 1) - lgamma(of - some + 1)

    few = min(together, all_n - together)
    # The rarer outcome is counted, so that the sum stays short.
    seen = hits if few == together else n - hits
    low, high = max(0, few - (all_n - n)), min(few, n)
    all_ways = choose(all_n, few)
    logs = [choose(n, k) + choose(all_n - n, few - k) - all_ways for k in range(low, high + 1)]
    limit = logs[seen - low] + 1e-7
    return min(1.0, sum(exp(one) for one in logs if one <= limit))
