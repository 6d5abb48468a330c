"""Is a new topic found among prompts, and which prompts are shown? Vectors that are clustered.

Each prompt is a unit vector around one of many topics, whose popularity follows Zipf's law and
moves from day to day; users ask several times in a row. A new topic lies beside one of the old.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift import embeddings, evidence, family, rates
from monitoring.drift.baseline import baseline
from monitoring.drift.embeddings import Place, Vectors
from monitoring.drift.family import Stream
from monitoring.simulation.traffic import MONTH_DAYS, REFERENCE_DAYS, SLICE_NAMES

SIZE = 384
TOPICS = 40
KEPT = 5_000
SHOWN = 3
"""Clusters that a person is sure to read."""


class World:
    """The topics that there are, and how a day of prompts is drawn from them."""

    def __init__(self, rng: np.random.Generator, *, nearness: float = 0.5) -> None:
        """`nearness`: the cosine between the new topic and the old one beside it."""
        self._rng = rng
        self._centres = _unit(rng.normal(size=(TOPICS, SIZE)))
        self._popular = 1.0 / np.arange(1, TOPICS + 1)
        away = _unit(rng.normal(size=(1, SIZE)))
        beside = self._centres[TOPICS // 2]
        self._new = _unit(nearness * beside + np.sqrt(1 - nearness**2) * away)

    def day(self, prompts: int, *, new: float = 0.0) -> tuple[Vectors, NDArray[np.bool_]]:
        """A day's prompts, and which of them are of the new topic."""
        rng = self._rng
        chances = self._popular * rng.gamma(25, 1 / 25, TOPICS)
        # In a row: who asks more than once does so at about one time.
        users = np.sort(rng.integers(prompts // 2, size=prompts))
        topic = rng.choice(TOPICS, size=prompts // 2, p=chances / chances.sum())[users]
        is_new = rng.random(prompts) < new
        centres = np.where(is_new[:, None], self._new, self._centres[topic])
        own = _unit(rng.normal(size=(prompts // 2, SIZE)))[users]
        noise = _unit(rng.normal(size=(prompts, SIZE)))
        return _unit(0.6 * centres + 0.3 * own + 0.74 * noise).astype(np.float32), is_new


class Trial(Struct, frozen=True):
    """One month of prompts. `day` (from 1) of the first alarm, None without one; `shown`: whether
    one of the first SHOWN clusters is mostly of the new topic; `by`: what raised it.
    """

    day: int | None
    alarms: int
    shown: bool
    by: tuple[str, ...]


def month(
    rng: np.random.Generator,
    *,
    a_day: int = 1_000,
    new: float = 0.0,
    days: int = MONTH_DAYS,
    stop: bool = False,
) -> Trial:
    """Freeze a reference, then look at every day as the job `prompt_drift` does.

    `stop` ends the month at the first alarm. The new topic is there from the first day on.
    Cost: about 4 s with 5,000 vectors kept and 30 days of 1,000.
    """
    world = World(rng)
    each = KEPT // REFERENCE_DAYS
    kept = [world.day(a_day)[0][:each] for _ in range(REFERENCE_DAYS)]
    day_of = np.repeat(np.arange(REFERENCE_DAYS), each)
    bank = embeddings.bank(np.concatenate(kept), day_of)
    usual = embeddings.usual(bank, rng)
    far = np.bincount(day_of, weights=bank.far, minlength=REFERENCE_DAYS)[None]
    number = np.arange(REFERENCE_DAYS)
    normal = baseline(
        np.asarray(far, dtype=np.float64), np.full(far.shape, float(each)), number % 7, number
    )
    low, high = rates.edges(normal)
    # As many streams share the layer's budget as in production.
    streams: tuple[Stream, ...] = tuple(
        Stream(3, metric) for metric in ("novelty", "classifier", "crowds")
    )
    streams += tuple(Stream(3, "novelty", name) for name in SLICE_NAMES[1:])
    weights = family.log_weights(streams)[:3]
    novelty = evidence.nothing((1, len(rates.ODDS)))
    others = evidence.nothing((2, 1))
    on = np.zeros(3, dtype=bool)
    alarms, first, shown = 0, None, False
    by: tuple[str, ...] = ()
    for day in range(days):
        vectors, is_new = world.day(a_day, new=new)
        is_far = embeddings.distances(bank.vectors, vectors) > bank.radius
        gains = rates.log_gains(
            np.array([is_far.sum()], dtype=np.float64),
            np.array([a_day], dtype=np.float64),
            low[:, day % 7],
            high[:, day % 7],
            normal.dispersion,
        )
        novelty = evidence.add(novelty, gains, window=day, opens=True, log_cap=family.LOG_CAP)
        sample = bank.vectors[
            rng.choice(len(bank.vectors), min(len(bank.vectors), 2 * a_day), False)
        ]
        told = embeddings.two_sample(sample, vectors, rng, usual)
        crowded, places = embeddings.crowds(bank, vectors)
        won = np.array([[0.0 if told is None else told.log_e], [crowded]])
        others = evidence.add(others, won, window=day, opens=True, log_cap=family.LOG_CAP)
        totals = np.concatenate(
            [
                evidence.log_total(novelty, rates.LOG_WEIGHTS),
                evidence.log_total(others, np.zeros(1)),
            ]
        )
        now = family.alarms(totals, weights, before=on)
        alarms += int((now & ~on).sum())
        on = now
        if first is None and now.any():
            first = day + 1
            by = tuple(s.metric for s, is_on in zip(streams, now, strict=False) if is_on)
            shown = _shown(is_new, places)
            if stop:
                break
    return Trial(first, alarms, shown, by)


def _shown(is_new: NDArray[np.bool_], places: list[Place]) -> bool:
    return any(is_new[rows].mean() > 0.5 for _, rows in places[:SHOWN])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
