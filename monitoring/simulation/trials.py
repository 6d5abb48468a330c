"""What came of many simulated months: how many false alarms, how long until a change was seen?"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift.evidence import Floats
from monitoring.simulation import defaults, prompts, traffic, watch
from monitoring.simulation.traffic import Change

CHUNK = 10
A_DAY = 1_000
OUT = [name for name in traffic.COLUMNS if name.startswith("score") and name.endswith("out")]

Told = Callable[[int], None]


class Scenario(Struct, frozen=True):
    """Something that is put into the traffic, and the metrics whose alarm is right."""

    name: str
    a_day: int
    change: Change
    metrics: tuple[str, ...]
    target_days: float | None = None


SCENARIOS = (
    Scenario("block 2 → 4 %", 500, Change(odds={"block": 2.04}), ("block",), 3.0),
    Scenario("block 2 → 4 %", 2_000, Change(odds={"block": 2.04}), ("block",)),
    Scenario("block 2 → 1 %", 500, Change(odds={"block": 0.495}), ("block",)),
    Scenario(
        "block 2 → 4 % over 14 days", 1_000, Change(odds={"block": 2.04}, ramp_days=14), ("block",)
    ),
    Scenario(
        "block 2 → 6 %, one tenant of 15 %",
        1_000,
        Change(odds={"block": 3.13}, within="tenant=2"),
        ("block",),
    ),
    Scenario(
        "German 12 → 20 %",
        1_000,
        Change(odds={"language de": 1.83, "language en": 0.75}),
        ("language de", "language en"),
    ),
    Scenario("prompts 30 % longer", 1_000, Change(tilt={"length in": 0.9}), ("length in",)),
    Scenario(
        "model swap: scores, length, refusals",
        1_000,
        Change(odds={"refusal": 1.7}, tilt={**dict.fromkeys(OUT, 0.8), "length out": -0.8}),
        (*OUT, "length out", "refusal"),
    ),
)


class FalseAlarms(Struct, frozen=True):
    """False alarms a month. `high` is the upper end of the 95 % interval (one-sided 97.5 %)."""

    months: int
    alarms: int
    a_month: float
    high: float
    raised: int
    streams: int
    by_layer: dict[int, int]
    evidently_all: float
    evidently_slices: float


class Found(Struct, frozen=True):
    """How soon a change was seen; days, None where it was not in that share of the trials."""

    name: str
    a_day: int
    trials: int
    median_days: float | None
    p90_days: float | None
    power: float
    early: int
    target_days: float | None
    evidently_median_days: float | None
    evidently_power: float
    shown: float | None = None


def false_alarms(
    months: int, rng: np.random.Generator, told: Told, *, a_day: int = A_DAY
) -> FalseAlarms:
    """Months in which nothing happens, over all metrics and slices.

    Cost: about 0.1 s a month.
    """
    each, raised, streams = [], 0, 0
    by_layer = dict.fromkeys(range(1, 6), 0)
    evidently_all, evidently_slices = 0, 0
    for start in range(0, months, CHUNK):
        count = min(CHUNK, months - start)
        drawn = traffic.draw(count, a_day=a_day, change=Change(), rng=rng)
        of_chunk = np.zeros(count, dtype=np.int64)
        streams = 0
        for watched in (
            watch.watch_rates(drawn),
            watch.watch_columns(drawn),
            # What a two-sample test gives without drift, at worst: any p-value as often as another.
            watch.watch_prompts(drawn, rng.random((count, traffic.MONTH_DAYS))),
            watch.watch_people(rng, count),
        ):
            streams += len(watched.streams)
            raised += int(watched.raised.sum())
            by_stream = watched.told.sum(axis=2)
            of_chunk += by_stream.sum(axis=1)
            for stream, alarms in zip(watched.streams, by_stream.sum(axis=0), strict=True):
                by_layer[stream.layer] += int(alarms)
        each.extend(of_chunk.tolist())
        _, flagged = defaults.flagged(drawn)
        evidently_all += int(_rises(flagged[:, :, 0]).sum())
        evidently_slices += int(_rises(flagged).sum())
        told(count)
    alarms = sum(each)
    spread = float(np.std(each, ddof=1)) if months > 1 else 0.0
    high = max(poisson_upper(alarms) / months, alarms / months + 1.96 * spread / months**0.5)
    return FalseAlarms(
        months,
        alarms,
        alarms / months,
        high,
        raised,
        streams,
        by_layer,
        evidently_all / months,
        evidently_slices / months,
    )


def found(scenario: Scenario, trials: int, rng: np.random.Generator, told: Told) -> Found:
    """How soon one change is seen; alarms before it are counted as `early`, not as found."""
    ours: list[float] = []
    theirs: list[float] = []
    early = 0
    for start in range(0, trials, CHUNK):
        count = min(CHUNK, trials - start)
        only = frozenset(scenario.metrics)
        drawn = traffic.draw(
            count, a_day=scenario.a_day, change=scenario.change, rng=rng, only=only
        )
        delay = np.full(count, np.inf)
        watched = [watch.watch_rates(drawn)] if drawn.hits else []
        if drawn.bins or drawn.daily_hits:
            watched.append(watch.watch_columns(drawn))
        for one in watched:
            begins = scenario.change.day * one.windows_a_day
            early += int(np.count_nonzero(one.raised[:, :, :begins]))
            days = _first(one.raised[:, :, begins:]) / one.windows_a_day
            delay = np.minimum(delay, days)
        ours.extend(delay.tolist())
        _, flagged = defaults.flagged(drawn)
        theirs.extend(_first(flagged[:, :, 0, scenario.change.day :]).tolist())
        told(count)
    return Found(
        scenario.name,
        scenario.a_day,
        trials,
        _quantile(ours, 0.5),
        _quantile(ours, 0.9),
        float(np.isfinite(ours).mean()),
        early,
        scenario.target_days,
        _quantile(theirs, 0.5),
        float(np.isfinite(theirs).mean()),
    )


def new_topic(trials: int, rng: np.random.Generator, told: Told, *, new: float = 0.05) -> Found:
    """How soon a new topic is seen among 1,000 prompts a day, and whether it is shown.

    Cost: about 4 s a trial.
    """
    delays, shown = [], 0
    for _ in range(trials):
        trial = prompts.month(rng, new=new, days=10, stop=True)
        delays.append(np.inf if trial.day is None else float(trial.day))
        shown += trial.shown
        told(1)
    power = float(np.isfinite(delays).mean())
    name = f"new topic, {new:.0%} of prompts"
    median, p90 = _quantile(delays, 0.5), _quantile(delays, 0.9)
    share = shown / trials
    return Found(name, A_DAY, trials, median, p90, power, 0, 2.0, None, 0.0, share)


def usual_prompts(months: int, rng: np.random.Generator, told: Told) -> int:
    """How many alarms the prompts' tests raise in months without drift, on vectors.

    Cost: about 10 s a month.
    """
    alarms = 0
    for _ in range(months):
        alarms += prompts.month(rng).alarms
        told(1)
    return alarms


def poisson_upper(count: int, level: float = 0.975) -> float:
    """The highest mean under which at most `count` events still happen 1 - level of the time."""
    low, high = float(count), count + 10.0 + 6.0 * (count + 1) ** 0.5
    for _ in range(80):
        middle = (low + high) / 2
        term, total = exp(-middle), 0.0
        for k in range(count + 1):
            total += term if k == 0 else exp(-middle + k * log(middle) - _log_factorial(k))
        low, high = (middle, high) if total > 1 - level else (low, middle)
    return high


def _log_factorial(k: int) -> float:
    return float(np.log(np.arange(1, k + 1)).sum())


def _rises(flagged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    before = np.concatenate([np.zeros_like(flagged[..., :1]), flagged[..., :-1]], axis=-1)
    return np.asarray(flagged & ~before)


def _first(raised: NDArray[np.bool_]) -> Floats:
    """In which window, from 1, each month's first alarm was raised; infinite where in none.

    Shape: (months, streams, windows) → (months).
    """
    any_stream = raised.astype(np.int8).max(axis=1)
    return np.where(any_stream.max(axis=1) > 0, any_stream.argmax(axis=1) + 1.0, np.inf)


def _quantile(delays: list[float], share: float) -> float | None:
    value = float(np.quantile(delays, share, method="inverted_cdf"))
    return value if np.isfinite(value) else None
