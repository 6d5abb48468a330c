"""When would monitoring have raised an alarm? The product's own tests, over many months at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift import evidence, family, rates, scores
from monitoring.drift.baseline import baseline
from monitoring.drift.embeddings import log_calibrated
from monitoring.drift.evidence import Floats
from monitoring.drift.family import Stream
from monitoring.simulation.traffic import (
    COLUMNS,
    LANGUAGES,
    MONTH_DAYS,
    PARTS,
    RATES,
    REFERENCE_DAYS,
    SLICE_NAMES,
    Traffic,
)

LABELS_A_DAY = (10, 6, 4)
"""First labels of what each of three filters blocked: what `review_sample` brings at its rates."""
OVERRULED = 0.15
DAY_VARIES = 0.05

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
    return _watch(_sliced(1, RATES), _sliced(1, names), [(gains, rates.LOG_WEIGHTS)], PARTS)


def watch_columns(traffic: Traffic) -> Watched:
    """Layers 2 and 4 once a day, as the job `score_drift` does: ranks, tails and shares."""
    names = tuple(traffic.bins)
    languages = tuple(name for name in traffic.daily_hits if name in LANGUAGES)
    streams: tuple[Stream, ...] = ()
    kinds: list[tuple[Gains, Floats]] = []
    hits, n = [traffic.daily_hits[x] for x in languages], [traffic.daily_n[x] for x in languages]
    if names:
        bins = np.concatenate([traffic.bins[name] for name in names], axis=1)
        streams += _of_columns(names, "rank")
        kinds.append((_rank_gains(bins), scores.LOG_WEIGHTS))
        hits = [scores.tail(bins).astype(np.float64), *hits]
        n = [bins.sum(-1).astype(np.float64), *n]
        streams += _of_columns(names, "tail")
    streams += _sliced(4, languages)
    rate_gains = _rate_gains(np.concatenate(hits, axis=1), np.concatenate(n, axis=1), 1)
    kinds.append((rate_gains, rates.LOG_WEIGHTS))
    whole = _of_columns(COLUMNS, "rank") + _of_columns(COLUMNS, "tail")
    return _watch(whole + _sliced(4, tuple(LANGUAGES)), streams, kinds, 1)


def _of_columns(names: tuple[str, ...], statistic: str) -> tuple[Stream, ...]:
    return tuple(
        Stream(2 if name.startswith("score") else 4, f"{name}: {statistic}", part)
        for name in names
        for part in SLICE_NAMES
    )


def _sliced(layer: int, names: Iterable[str]) -> tuple[Stream, ...]:
    return tuple(Stream(layer, name, part) for name in names for part in SLICE_NAMES)


def watch_prompts(traffic: Traffic, p_values: Floats) -> Watched:
    """Layer 3 once a day, as the job `prompt_drift` does: novelty, and the classifier's p-values.

    Shape: `p_values` (months, days), what the two-sample test gave each day.
    """
    gains = _rate_gains(traffic.daily_hits["novelty"], traffic.daily_n["novelty"], 1)
    told = np.vectorize(log_calibrated)(p_values)
    streams = (*_sliced(3, ["novelty"]), Stream(3, "classifier"))
    kinds = [(gains, rates.LOG_WEIGHTS), (lambda t: told[:, None, t, None], np.zeros(1))]
    return _watch((*streams, Stream(3, "crowds")), streams, kinds, 1)


def watch_people(rng: np.random.Generator, months: int) -> Watched:
    """Layer 5 once a day, as the job `human_drift` does: labels of blocked exchanges that overrule.

    A filter gets about as many labels as it blocks; days vary as those of the traffic do.
    """
    days = REFERENCE_DAYS + MONTH_DAYS
    labels = np.array(LABELS_A_DAY, dtype=float)
    n = rng.poisson(labels[None, :, None], (months, len(labels), days)).astype(float)
    wobble = np.exp(rng.normal(0.0, DAY_VARIES, (months, 1, days)))
    hits = rng.binomial(n.astype(np.int64), np.minimum(OVERRULED * wobble, 1.0)).astype(float)
    n, hits = (np.concatenate([x.sum(1, keepdims=True), x], axis=1) for x in (n, hits))
    normal = baseline(
        hits[..., :REFERENCE_DAYS],
        n[..., :REFERENCE_DAYS],
        np.zeros(REFERENCE_DAYS, dtype=np.int64),
        np.arange(REFERENCE_DAYS),
    )
    low, high = rates.edges(normal)

    def gains(day: int) -> Floats:
        at = REFERENCE_DAYS + day
        return rates.log_gains(
            hits[..., at], n[..., at], low[..., 0], high[..., 0], normal.dispersion
        )

    filters = (f"filter={number}" for number in range(len(labels)))
    streams = tuple(Stream(5, "overruled", name) for name in ("all", *filters))
    return _watch(streams, streams, [(gains, rates.LOG_WEIGHTS)], 1)


def _watch(
    whole: tuple[Stream, ...],
    streams: tuple[Stream, ...],
    kinds: list[tuple[Gains, Floats]],
    windows_a_day: int,
) -> Watched:
    """Run `streams`, each with the weight that it has in the `whole` family."""
    of_whole = dict(zip(whole, family.log_weights(whole), strict=True))
    weights = np.array([of_whole[stream] for stream in streams])
    states = [evidence.nothing(gains(0).shape) for gains, _ in kinds]
    months = len(states[0].log_sr)
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
