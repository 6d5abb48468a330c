"""How far do reviewers agree, beyond what chance would give? Krippendorff's alpha, nominal.

It takes any number of reviewers and items that not all of them saw. 1: they always agree; 0: as
chance would; below: worse. Of two reviewers who saw the same items it is near Cohen's kappa.
Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), without its weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from msgspec import Struct


class Agreement(Struct, frozen=True):
    """`alpha` None: nothing to measure, or all was called the same. `items` with two labels."""

    alpha: float | None
    items: int
    same: int


def agreement(items: Sequence[Sequence[Hashable]]) -> Agreement:
    """The agreement over items, each given as the values that its reviewers said.

    Items with fewer than two values say nothing, and are left out.
    """
    paired = [Counter(values) for values in items if len(values) >= 2]
    same = sum(len(counts) == 1 for counts in paired)
    totals: Counter[Hashable] = Counter()
    disagreement = 0.0
    for counts in paired:
        n = counts.total()
        totals.update(counts)
        disagreement += (n * n - sum(count * count for count in counts.values())) / (n - 1)
    n = totals.total()
    expected = (n * n - sum(count * count for count in totals.values())) / (n - 1) if n > 1 else 0.0
    alpha = 1 - disagreement / expected if expected else None
    return Agreement(alpha, len(paired), same)
