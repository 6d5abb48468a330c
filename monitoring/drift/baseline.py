"""What was normal, in each phase of the week, and how sure is that?

A mean of values in [0, 1] (a rate is the mean of zeros and ones) over the frozen reference, by
phase: Monday 0 to 6 h is one. Few rows fall into one phase, so each is drawn towards the mean of
all, the more so the less the phases differ beyond chance (empirical Bayes by moments).
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift.evidence import Floats

SURENESS = 2.0
"""Standard errors of the reference that its bounds leave room for."""


class Baseline(Struct, frozen=True):
    """The reference in numbers. Shape: streams, and where it varies, (streams, phases).

    `worth` is how many rows each phase's mean rests on. `dispersion` (≥ 1) says how much more whole
    days vary than rows on their own would: users send in bursts. Evidence is divided by it; for
    independent rows a gain to the power of 1 / dispersion still expects at most 1 (Jensen).
    """

    mean: Floats
    worth: Floats
    n: Floats
    dispersion: Floats


def baseline(
    totals: Floats,
    n: Floats,
    phases: NDArray[np.int64],
    days: NDArray[np.int64],
    variance: Floats | None = None,
) -> Baseline:
    """Learn what is normal from the reference's windows.

    Shape:  `totals` (sums of values) and `n` (…, streams, windows); `phases` and `days` number each
            window's phase and day; `variance` of one value, None for a rate's p (1 - p).
    """
    phase_of = np.eye(int(phases.max()) + 1)[phases]
    day_of = np.eye(int(days.max()) + 1)[days]
    n_all = n.sum(-1)
    mean = (totals.sum(-1) + 0.5) / (n_all + 1.0)
    unit = np.maximum(mean * (1 - mean) if variance is None else variance, 1e-12)
    n_phase, total_phase = n @ phase_of, totals @ phase_of
    own = total_phase / np.maximum(n_phase, 1.0)
    used = n_phase > 0
    phase_count = used.sum(-1)
    # The spread of whole days around their phases, against what independent rows would show.
    expected = (own if phase_of.shape[1] > 1 else mean[..., None]) @ phase_of.T
    residual = ((totals - n * expected) @ day_of) ** 2 / np.maximum(
        (n @ day_of) * unit[..., None], 1e-12
    )
    whole_days = ((n @ day_of) > 0).sum(-1)
    per_day = np.maximum(np.bincount(days).max(), 1)
    freedom = np.maximum(whole_days - phase_count / per_day, 1.0)
    # One standard error off, for a dispersion that is chance would cost power every day.
    dispersion = np.maximum(1.0, residual.sum(-1) / freedom - np.sqrt(2.0 / freedom))
    between = (n_phase * (own - mean[..., None]) ** 2).sum(-1) / unit
    room = np.maximum(n_all - (n_phase**2).sum(-1) / np.maximum(n_all, 1.0), 1e-12)
    chance = dispersion * (phase_count - 1 + np.sqrt(2.0 * np.maximum(phase_count - 1, 0.0)))
    spread = np.maximum(between - chance, 0.0) * unit / room
    prior = dispersion * unit / np.maximum(spread, 1e-12)
    prior = np.minimum(prior[..., None], np.maximum(n_all[..., None] - n_phase, 1.0))
    shrunk = (total_phase + prior * mean[..., None]) / (n_phase + prior)
    return Baseline(shrunk, n_phase + prior, n_all, dispersion)


def wilson_bounds(mean: Floats, worth: Floats, z: float = SURENESS) -> tuple[Floats, Floats]:
    """Wilson's interval around a share that `worth` rows are behind."""
    scale = 1.0 + z * z / worth
    centre = (mean + z * z / (2 * worth)) / scale
    half = z * np.sqrt(mean * (1 - mean) / worth + z * z / (4 * worth**2)) / scale
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
