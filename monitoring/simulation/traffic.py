"""What would a reference and a month of traffic look like, with nothing or something happening?

Counts are drawn, not exchanges: how many of each window's exchanges were hits of each rate, and how
many values of each column fell into each bin. They breathe as real traffic does: by day and night,
on weekdays and weekends, and from day to day beyond chance, all of which is no drift.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift.evidence import Floats
from monitoring.drift.scores import CUTS

REFERENCE_DAYS = 28
MONTH_DAYS = 30
PARTS = 4
"""Windows of six hours a day."""

RATES = {
    "block": 0.02,
    "flag": 0.05,
    "redact": 0.01,
    "refusal": 0.04,
    "error": 0.008,
    "no_check": 0.003,
}
LANGUAGES = {"language en": 0.70, "language de": 0.12, "language fr": 0.08, "language und": 0.06}
NOVELTY = 0.02
COLUMNS = (
    *(f"score {label} in" for label in ("toxicity", "threat", "insult", "injection", "harmful")),
    *(f"score {label} out" for label in ("toxicity", "threat", "insult", "identity", "grounded")),
    *("length in", "length out", "code in", "code out"),
)
SLICES = {
    "all": (1.0,),
    "route": (0.5, 0.25, 0.15, 0.1),
    "tenant": (0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02),
    "language": (0.7, 0.12, 0.08, 0.06, 0.04),
    "model": (0.6, 0.3, 0.1),
}
SLICE_NAMES = tuple(
    "all" if name == "all" else f"{name}={number}"
    for name, parts in SLICES.items()
    for number in range(len(parts))
)

_BY_PART = np.array([0.4, 1.2, 1.5, 0.9])
_BY_WEEKDAY = np.array([1.15, 1.15, 1.15, 1.15, 1.1, 0.7, 0.6])
_RATE_BY_PART = np.array([1.3, 0.95, 0.9, 1.1])
_SHARES = np.diff(CUTS, prepend=0.0, append=1.0)
_MIDDLES = np.cumsum(_SHARES) - _SHARES / 2


class Change(Struct, frozen=True):
    """Something that happens to the traffic on day `day` of the month, whole after `ramp_days`.

    `odds` multiplies the odds of rates; `tilt` moves columns: a value's chance is multiplied by
    exp(tilt × rank), which moves the mean rank by about tilt / 12. `within` confines it to a slice.
    """

    day: int = 5
    ramp_days: int = 0
    odds: Mapping[str, float] = {}
    tilt: Mapping[str, float] = {}
    within: str | None = None


class Traffic(Struct, frozen=True):
    """Many months at once, each with the reference before it.

    Shape: `hits` and `n` by rate (months, slices, windows of six hours); `daily_hits` and `daily_n`
    the same by day; `bins` by column (months, slices, days, BINS).
    """

    hits: dict[str, Floats]
    n: dict[str, Floats]
    daily_hits: dict[str, Floats]
    daily_n: dict[str, Floats]
    bins: dict[str, NDArray[np.float32]]


def draw(
    months: int,
    *,
    a_day: float,
    change: Change,
    rng: np.random.Generator,
    daily_spread: float = 0.05,
    only: frozenset[str] | None = None,
) -> Traffic:
    """Draw months of traffic.

    Units: `a_day` exchanges on average; `daily_spread` is the relative standard deviation of every
           rate from day to day, beyond chance and season.
    Limits: hits and misses are split over the slices of a dimension one exchange at a time; metrics
            are drawn apart from each other, which e-BH does not mind.
    """
    days = REFERENCE_DAYS + MONTH_DAYS
    weekday = np.arange(days) % 7
    strength = np.clip(
        (np.arange(days) - REFERENCE_DAYS - change.day + 1) / max(change.ramp_days, 1), 0.0, 1.0
    )
    volume_day = a_day * _BY_WEEKDAY[weekday] / _BY_WEEKDAY.mean()
    volume_part = (volume_day[:, None] * _BY_PART / _BY_PART.sum()).ravel()
    n_part = rng.poisson(volume_part, size=(months, len(volume_part)))
    n_day = n_part.reshape(months, days, PARTS).sum(-1)
    traffic = Traffic({}, {}, {}, {}, {})
    for name in RATES:
        if only is None or name in only:
            jitter = np.repeat(_jitter(rng, (months, days), daily_spread), PARTS, axis=1)
            season = (np.where(weekday >= 5, 1.2, 0.95)[:, None] * _RATE_BY_PART).ravel()
            odds = np.repeat(1.0 + strength * (change.odds.get(name, 1.0) - 1.0), PARTS)
            rate = np.clip(RATES[name] * season * jitter, 0.0, 0.95)
            traffic.hits[name], traffic.n[name] = _rate(rng, n_part, rate, odds, change.within)
    for name, usual in {**LANGUAGES, "novelty": NOVELTY}.items():
        if only is None or name in only:
            jitter = _jitter(rng, (months, days), daily_spread * (1 - usual))
            odds = 1.0 + strength * (change.odds.get(name, 1.0) - 1.0)
            rate = np.clip(usual * jitter, 0.0, 0.95)
            drawn = _rate(rng, n_day, rate, odds, change.within)
            traffic.daily_hits[name], traffic.daily_n[name] = drawn
    for name in COLUMNS:
        if only is None or name in only:
            breath = rng.normal(0.0, daily_spread, (months, days)) + np.where(weekday >= 5, 0.1, 0)
            tilt = strength * change.tilt.get(name, 0.0)
            traffic.bins[name] = _column(rng, n_day, breath, tilt, change.within)
    return traffic


def _jitter(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Floats:
    return rng.gamma(1 / spread**2, spread**2, shape) if spread else np.ones(shape)


def _rate(
    rng: np.random.Generator, n: NDArray[np.int64], rate: Floats, odds: Floats, within: str | None
) -> tuple[Floats, Floats]:
    """Hits and exchanges of every slice; first by one dimension, then split anew by the others."""
    first, affected = _affected(within)
    moved = rate * odds / (1 - rate + rate * odds)
    n_first = rng.multinomial(n, SLICES[first])
    rates = np.where(affected, moved[..., None], rate[..., None])
    hits_first = rng.binomial(n_first, rates)
    hits, misses = hits_first.sum(-1), n - hits_first.sum(-1)
    all_hits, all_n = [], []
    for name, parts in SLICES.items():
        if name == first:
            part_hits, part_n = hits_first, n_first
        else:
            part_hits = rng.multinomial(hits, parts)
            part_n = part_hits + rng.multinomial(misses, parts)
        all_hits.append(np.moveaxis(part_hits, -1, 1))
        all_n.append(np.moveaxis(part_n, -1, 1))
    return (
        np.concatenate(all_hits, axis=1).astype(np.float64),
        np.concatenate(all_n, axis=1).astype(np.float64),
    )


def _column(
    rng: np.random.Generator, n: NDArray[np.int64], breath: Floats, tilt: Floats, within: str | None
) -> NDArray[np.float32]:
    first, affected = _affected(within)
    n_first = rng.multinomial(n, SLICES[first])
    told = np.where(affected, (breath + tilt)[..., None], breath[..., None])
    chances = _SHARES * np.exp(told[..., None] * (_MIDDLES - 0.5))
    of_first = rng.multinomial(n_first, chances / chances.sum(-1, keepdims=True))
    whole = of_first.sum(-2)
    parts = []
    for name, shares in SLICES.items():
        if name == first:
            parts.append(np.moveaxis(of_first, 2, 1))
        else:
            parts.append(np.moveaxis(rng.multinomial(whole, shares), (3, 1, 2), (1, 2, 3)))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _affected(within: str | None) -> tuple[str, NDArray[np.bool_]]:
    if within is None:
        return "tenant", np.ones(len(SLICES["tenant"]), dtype=bool)
    name, _, number = within.partition("=")
    return name, np.arange(len(SLICES[name])) == int(number)
