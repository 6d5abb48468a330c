"""When would monitoring have raised an alarm? The product's own tests, over many months at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift import evidence, family, rates, scores
from monitoring.drift.baseline import baseline
from monitoring.drift.embeddings import log_calibrated
from monitoring.drift.evidence import Floats
from monitoring.drift.family import Stream
from monitoring.simulation.traffic import (
    MONTH_DAYS,
    PARTS,
    REFERENCE_DAYS,
    SLICE_NAMES,
    Traffic,
)

Gains = Callable[[int], Floats]


class Watched(Struct, frozen=True):
    """What was raised. Shape: (months, streams, windows), true in the window that raised an alarm.

    `told` leaves out what an alarm of an earlier layer, or of all traffic, explains.
    """

    streams: tuple[Stream, ...]
    raised: NDArray[np.bool_]
    told: NDArray[np.bool_]
    windows_a_day: int


def watch_rates(traffic: Traffic) -> Watched:
    """Layer 1 every six hours, as the job `rate_drift` does."""
    names = tuple(traffic.hits)
    hits = np.concatenate([traffic.hits[name] for name in names], axis=1)
    n = np.concatenate([traffic.n[name] for name in names], axis=1)
    gains = _rate_gains(hits, n, PARTS)
    streams = tuple(Stream(1, name, part) for name in names for part in SLICE_NAMES)
    return _watch(streams, [(gains, rates.LOG_WEIGHTS)], len(hits), PARTS)


def watch_columns(traffic: Traffic) -> Watched:
    """Layers 2 and 4 once a day, as the job `score_drift` does: ranks, tails and shares."""
    columns, languages = tuple(traffic.bins), [n for n in traffic.daily_hits if n != "novelty"]
    bins = np.concatenate([traffic.bins[name] for name in columns], axis=1)
    layer = {name: 2 if name.startswith("score") else 4 for name in columns}
    tails = scores.tail(bins)
    hits = np.concatenate([tails, *(traffic.daily_hits[name] for name in languages)], axis=1)
    n = np.concatenate([bins.sum(-1), *(traffic.daily_n[name] for name in languages)], axis=1)
    streams = (
        *(Stream(layer[name], f"{name}: rank", part) for name in columns for part in SLICE_NAMES),
        *(Stream(layer[name], f"{name}: tail", part) for name in columns for part in SLICE_NAMES),
        *(Stream(4, name, part) for name in languages for part in SLICE_NAMES),
    )
    kinds = [
        (_rank_gains(bins), scores.LOG_WEIGHTS),
        (_rate_gains(hits.astype(np.float64), n.astype(np.float64), 1), rates.LOG_WEIGHTS),
    ]
    return _watch(streams, kinds, len(bins), 1)


def watch_prompts(traffic: Traffic, p_values: Floats) -> Watched:
    """Layer 3 once a day, as the job `prompt_drift` does: novelty, and the classifier's p-values.

    Shape: `p_values` (months, days), what the two-sample test gave each day.
    """
    gains = _rate_gains(traffic.daily_hits["novelty"], traffic.daily_n["novelty"], 1)
    told = np.vectorize(log_calibrated)(p_values)
    streams = (
        *(Stream(3, "novelty", part) for part in SLICE_NAMES),
        Stream(3, "classifier"),
    )
    kinds = [(gains, rates.LOG_WEIGHTS), (lambda t: told[:, None, t, None], np.zeros(1))]
    return _watch(streams, kinds, len(p_values), 1)


def _watch(
    streams: tuple[Stream, ...], kinds: list[tuple[Gains, Floats]], months: int, windows_a_day: int
) -> Watched:
    weights = family.log_weights(streams)
    states = [evidence.nothing((months, gains(0).shape[1], len(w))) for gains, w in kinds]
    windows = MONTH_DAYS * windows_a_day
    raised = np.zeros((months, len(streams), windows), dtype=bool)
    told = np.zeros_like(raised)
    on = np.zeros((months, len(streams)), dtype=bool)
    for window in range(windows):
        totals = []
        for number, (gains, log_weights) in enumerate(kinds):
            states[number] = evidence.add(
                states[number],
                gains(window),
                window=window,
                opens=window % windows_a_day == 0,
                log_cap=family.LOG_CAP,
            )
            totals.append(evidence.log_total(states[number], log_weights))
        now = family.alarms(np.concatenate(totals, axis=1), weights, before=on)
        raised[..., window] = now & ~on
        for month in np.flatnonzero(raised[..., window].any(axis=1)):
            explained = family.inhibited(streams, now[month])
            alone = np.array([one is None for one in explained])
            told[month, :, window] = raised[month, :, window] & alone
        on = now
    return Watched(streams, raised, told, windows_a_day)


def _rate_gains(hits: Floats, n: Floats, windows_a_day: int) -> Gains:
    first = REFERENCE_DAYS * windows_a_day
    number = np.arange(first)
    phases = number % (7 * windows_a_day)
    normal = baseline(hits[..., :first], n[..., :first], phases, number // windows_a_day)
    low, high = rates.edges(normal)

    def gains(window: int) -> Floats:
        phase = window % (7 * windows_a_day)
        at = first + window
        return rates.log_gains(
            hits[..., at], n[..., at], low[..., phase], high[..., phase], normal.dispersion
        )

    return gains


def _rank_gains(bins: NDArray[np.float32]) -> Gains:
    before = bins[:, :, :REFERENCE_DAYS].astype(np.float64)
    whole = before.sum(2)
    rank, variance = scores.ranks(whole), scores.rank_variance(whole)
    totals = (before * rank[:, :, None, :]).sum(-1)
    number = np.arange(REFERENCE_DAYS)
    normal = baseline(totals, before.sum(-1), number % 7, number, variance)
    low, high = scores.edges(normal, variance)

    def gains(day: int) -> Floats:
        counts = bins[:, :, REFERENCE_DAYS + day].astype(np.float64)
        phase = day % 7
        return scores.log_gains(
            counts, rank, variance, low[..., phase], high[..., phase], normal.dispersion
        )

    return gains
