"""Which of hundreds of streams are in alarm, so that the whole cries wolf seldom enough?

The e-BH procedure over all metrics and slices, weighted by layer. A single stream needs evidence of
DAYS / weight; k streams that have it together need a k-th of that. With the e-detectors' bound, the
first false alarm of the whole family comes after DAYS days or later on average, whatever depends on
what; the simulation shows how much later.

Source: R. Wang and A. Ramdas, False discovery rate control with e-values, JRSS B 84 (2022);
S. Dandapanthula and A. Ramdas, Multiple testing in multi-stream sequential change detection (2025).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift.evidence import Floats

DAYS = 120.0
"""One false alarm in four months at most: 0.25 a month."""

SHARES = {
    (1, True): 0.56,
    (2, True): 0.10,
    (3, True): 0.10,
    (4, True): 0.05,
    (1, False): 0.09,
    (2, False): 0.03,
    (3, False): 0.02,
    (4, False): 0.01,
    (5, True): 0.03,
    (5, False): 0.01,
}
"""How the family's budget is split: by layer, and between all traffic (True) and its slices."""

CALM = float(np.log(10.0))
"""An alarm ends when the evidence has fallen to a tenth of what one needs on its own."""

LOG_CAP = float(np.log(1e7))
"""The most evidence that is remembered, so that what is long over can end."""


class Stream(Struct, frozen=True, order=True):
    """One metric over one slice; `slice` is `all`, or as `route=support`."""

    layer: int
    metric: str
    slice: str = "all"


def log_weights(streams: Sequence[Stream]) -> Floats:
    """Each stream's share of the budget, in logarithms; the shares of a family are at most 1.

    A layer's budget is divided evenly within it, so a new slice thins out only other slices.
    """
    kinds = [(stream.layer, stream.slice == "all") for stream in streams]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    return np.log(np.array([SHARES[kind] / counts[kind] for kind in kinds]))


def alarms(
    log_evidence: Floats,
    weights: Floats,
    *,
    before: NDArray[np.bool_] | None = None,
    days: float = DAYS,
) -> NDArray[np.bool_]:
    """Which streams are in alarm; shape (…, streams), the family along the last axis.

    `before` says which were: these stay so until their evidence is CALM.
    """
    scaled = log_evidence + weights - np.log(days)
    # The k-th strongest must reach 1/k: then it and all before it are in alarm.
    ordered = -np.sort(-scaled, axis=-1)
    rank = np.arange(1, scaled.shape[-1] + 1)
    count = np.where(ordered + np.log(rank) >= 0.0, rank, 0).max(axis=-1)
    needed = np.where(count > 0, -np.log(np.maximum(count, 1)), np.inf)[..., None]
    raised = scaled >= needed
    return raised if before is None else raised | (before & (scaled >= -CALM))


def log_thresholds(weights: Floats, *, days: float = DAYS) -> Floats:
    """What each stream needs when no other is in alarm."""
    return np.log(days) - weights


def inhibited(streams: Sequence[Stream], alarmed: NDArray[np.bool_]) -> list[Stream | None]:
    """For each stream, the alarm of an earlier layer that explains it; None where there is none.

    An alarm of the same slice, or of all traffic, at a lower layer explains it; and an alarm of all
    traffic explains that of the same metric in a slice. What is explained is recorded, and tells
    nobody on its own.
    """
    raised = sorted(s for s, on in zip(streams, alarmed, strict=True) if on)
    return [next((one for one in raised if _explains(one, stream)), None) for stream in streams]


def _explains(one: Stream, other: Stream) -> bool:
    if one == other:
        return False
    if one.layer < other.layer:
        return one.slice in ("all", other.slice)
    return (
        one.layer == other.layer
        and one.metric == other.metric
        and one.slice == "all" != other.slice
    )
