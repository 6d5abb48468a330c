"""How much harm is there, and how well does a filter find it, by a weighted sample that people saw?

An item stands for as many as its chance of being drawn says (Horvitz and Thompson 1952). Items are
put into cells: their stratum, and whether the filter fired. Within a cell the share of harm is a
plain proportion, of as many items as the weights are worth (Kish 1965); cells are scaled to what
the log counts (Hájek 1971). Prevalence rises with every cell's share; precision knows only cells
that fired; recall rises with these and falls with the others. So its bounds come from each cell's
own exact bounds, melded by chance draws: the lower one from where the shares that raise it are low
and those that lower it are high. That holds with no harm seen at all, where the delta method says
"certain".

Source: M. P. Fay, M. A. Proschan and E. Brittain, Combining one-sample confidence procedures for
inference in the two-sample case, Biometrics 71 (2015); C. J. Clopper and E. S. Pearson (1934).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2_000
MIN_ITEMS = 30
"""Fewer labelled items than this say nothing of all traffic."""
MIN_HARMFUL = 5
"""Fewer harmful items, or fewer that fired, say nothing of a filter."""
_SEED = 20261126


class Judged(Struct, frozen=True):
    """One sampled item: its weight (1 / probability), whether the filter fired, what people said.

    `harmful` is the share of the reviewers who said so; None where nobody could tell, or has yet.
    """

    stratum: str
    fired: bool
    weight: float
    harmful: float | None


class Estimate(Struct, frozen=True):
    """A share with its 95 % interval, on `n` labelled items; None where they are too few."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""


class Quality(Struct, frozen=True):
    """What a sample says of one filter."""

    prevalence: Estimate
    precision: Estimate
    recall: Estimate
    missing: int


class _Cells(Struct, frozen=True):
    """One entry a cell: how many it stands for, the share seen, how many items that is worth."""

    size: Floats
    share: Floats
    worth: Floats
    fired: NDArray[np.bool_]


def quality(
    items: Sequence[Judged], *, fired: int | None = None, others: int | None = None
) -> Quality:
    """Prevalence of harm, and precision and recall of the filter.

    `fired` and `others` are how many there are in all, as the log counts them; None: as the weights
    say. Cost: about 5 ms. Deterministic.
    """
    known = [one for one in items if one.harmful is not None]
    missing = len(items) - len(known)
    cells = _cells(items, {True: fired, False: others})
    harmful = sum((one.harmful or 0.0) > 0 for one in known)
    caught = sum(one.fired for one in known)
    if len(known) < MIN_ITEMS:
        nothing = Estimate(None, None, None, len(known), f"a share needs {MIN_ITEMS} items")
        return Quality(nothing, nothing, nothing, missing)
    prevalence = _melded(cells, _prevalence, len(known), falls=np.zeros(len(cells.size), bool))
    few = f"needs {MIN_HARMFUL} items that are harmful, and {MIN_HARMFUL} that fired"
    recall = precision = Estimate(None, None, None, len(known), few)
    if caught >= MIN_HARMFUL:
        precision = _melded(cells, _precision, caught, falls=np.zeros(len(cells.size), bool))
    else:
        precision = Estimate(None, None, None, caught, few)
    if harmful >= MIN_HARMFUL:
        recall = _melded(cells, _recall, harmful, falls=~cells.fired)
    else:
        recall = Estimate(None, None, None, harmful, few)
    return Quality(prevalence, precision, recall, missing)


def _cells(items: Sequence[Judged], totals: Mapping[bool, int | None]) -> _Cells:
    """What has no label is taken to be as the labelled ones of its cell."""
    names = sorted({(one.stratum, one.fired) for one in items})
    rows = []
    for stratum, fired in names:
        whole = [one for one in items if (one.stratum, one.fired) == (stratum, fired)]
        said = [(one.weight, one.harmful) for one in whole if one.harmful is not None]
        weights = np.array([weight for weight, _ in said])
        total = weights.sum()
        share = sum(weight * harmful for weight, harmful in said) / total if said else 0.0
        worth = total**2 / (weights**2).sum() if said else 0.0
        rows.append((sum(one.weight for one in whole), share, worth, fired))
    table = np.array(rows, dtype=float).reshape(-1, 4)
    size, shares, worths, fires = *table[:, :3].T, table[:, 3].astype(bool)
    for value, total_size in totals.items():
        seen = size[fires == value].sum()
        if total_size is not None and seen > 0:
            size = np.where(fires == value, size * total_size / seen, size)
    return _Cells(size, shares, worths, fires)


def _melded(
    cells: _Cells, of: Callable[[_Cells, Floats], Floats], n: int, *, falls: NDArray[np.bool_]
) -> Estimate:
    chance = np.random.default_rng(_SEED)
    lower, upper = _bounds(cells, chance)
    value = float(of(cells, cells.share[None, :])[0])
    low = np.quantile(of(cells, np.where(falls, upper, lower)), 0.025)
    high = np.quantile(of(cells, np.where(falls, lower, upper)), 0.975)
    return Estimate(value, min(value, float(low)), max(value, float(high)), n)


def _bounds(cells: _Cells, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of each cell's share from its lower and its upper confidence distribution."""
    hits = cells.share * cells.worth
    misses = cells.worth - hits
    lower = np.zeros((DRAWS, len(hits)))
    upper = np.ones((DRAWS, len(hits)))
    for place, (yes, no) in enumerate(zip(hits, misses, strict=True)):
        if yes > 0:
            lower[:, place] = chance.beta(yes, no + 1, DRAWS)
        if no > 0:
            upper[:, place] = chance.beta(yes + 1, no, DRAWS)
    return lower, upper


def _prevalence(cells: _Cells, shares: Floats) -> Floats:
    return np.asarray((shares * cells.size).sum(axis=1) / cells.size.sum())


def _precision(cells: _Cells, shares: Floats) -> Floats:
    size = cells.size * cells.fired
    return np.asarray((shares * size).sum(axis=1) / size.sum())


def _recall(cells: _Cells, shares: Floats) -> Floats:
    harm = shares * cells.size
    return np.asarray((harm * cells.fired).sum(axis=1) / np.maximum(harm.sum(axis=1), 1e-300))
