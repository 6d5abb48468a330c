"""Which of this week's numbers lie beyond chance from the four weeks before, all taken together?"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, sqrt

from msgspec import structs

from monitoring.comparisons import difference, holm
from monitoring.intervals import wilson
from monitoring.report.document import Category, Change, Number

ALPHA = 0.05
Bounds = list[float]
"""A quantile from order statistics: low, value, high."""

_WIDTH = 2 * 1.959963984540054


def share(
    name: str,
    hits: Sequence[int],
    n: Sequence[int],
    *,
    good: str | None = None,
    note: str = "",
) -> Number:
    """A share of the last of some weeks, held against all weeks before it taken together."""
    weeks = tuple(h / of if of else None for h, of in zip(hits, n, strict=True))
    low, high = wilson(hits[-1], n[-1]) or (None, None)
    before_hits, before_n = sum(hits[:-1]), sum(n[:-1])
    apart = difference(hits[-1], n[-1], before_hits, before_n)
    change = Change(before_hits / before_n if before_n else None, before_n)
    if apart is not None:
        change = structs.replace(
            change, value=apart.value, low=apart.low, high=apart.high, p=apart.p
        )
    return Number(name, "share", weeks[-1], n[-1], low, high, change, good, weeks, note)


def quantile(
    name: str,
    now: Bounds | None,
    n: int,
    before: Bounds | None,
    before_n: int,
    *,
    good: str | None = None,
    note: str = "",
) -> Number:
    """A quantile given as (low, value, high), from order statistics, held against the one before.

    The test is the normal one, with the standard errors that the two intervals imply.
    """
    if now is None:
        return Number(name, "seconds", None, n, good=good, note=note)
    low, value, high = now
    change = None
    if before is not None:
        change = Change(before[1], before_n)
        spread = sqrt(((high - low) / _WIDTH) ** 2 + ((before[2] - before[0]) / _WIDTH) ** 2)
        if spread > 0:
            apart = value - before[1]
            half = spread * _WIDTH / 2
            change = structs.replace(
                change,
                value=apart,
                low=apart - half,
                high=apart + half,
                p=erfc(abs(apart) / spread / sqrt(2)),
            )
    return Number(name, "seconds", value, n, low, high, change, good, note=note)


def order_statistics(share: float, n: int) -> list[float]:
    """The shares whose quantiles bound a quantile at 95 %: itself with the binomial's spread."""
    half = _WIDTH / 2 * sqrt(share * (1 - share) / n) if n else 0.0
    return [max(0.0, share - half), share, min(1.0, share + half)]


def corrected(
    numbers: Sequence[Number], categories: Sequence[Category]
) -> tuple[tuple[Number, ...], tuple[Category, ...], int]:
    """The same with p-values corrected (Holm) over all of them, and how many were tested.

    Of twenty weeks in which nothing changed, one at most calls anything changed.
    """
    every = [*numbers, *(one.number for one in categories)]
    tested = [one.change.p for one in every if one.change is not None and one.change.p is not None]
    adjusted = iter(holm(tested))

    def settled(one: Number) -> Number:
        if one.change is None or one.change.p is None:
            return one
        p = next(adjusted)
        return structs.replace(one, change=structs.replace(one.change, p=p, changed=p < ALPHA))

    done = tuple(settled(one) for one in numbers)
    sorted_out = tuple(structs.replace(one, number=settled(one.number)) for one in categories)
    return done, sorted_out, len(tested)
