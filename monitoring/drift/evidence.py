"""How does evidence that something changed come together over windows?

Each stream is held against a few alternatives. Every window multiplies what an alternative has won
so far by its gain: an e-value, whose expectation is at most 1 while nothing changed. Since nobody
knows when a change begins, a bet is opened anew every day and all are added up: a Shiryaev–Roberts
e-detector. After d days its expectation is at most d, so one that is answered at `c` runs c days or
longer between two false alarms, on average, whatever the distribution and however often one looks.

Source: J. Shin, A. Ramdas, A. Rinaldo, E-detectors, NEJSDS 2 (2023); M. Pollak, Ann. Stat. 13
(1985) for the Shiryaev–Roberts statistic; E. S. Page, Biometrika 41 (1954) for the onset.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Evidence(Struct, frozen=True):
    """What has been won so far. Arrays of shape (…, alternatives), the leading axes are streams.

    Units: natural logarithms. `cusum` is what was won since `began`, the number of the window in
    which the latest run of wins opened; it dates the change and alarms nobody.
    """

    log_sr: Floats
    cusum: Floats
    began: NDArray[np.int64]


def nothing(shape: tuple[int, ...], window: int = 0) -> Evidence:
    """No evidence yet."""
    return Evidence(
        np.full(shape, -np.inf), np.zeros(shape), np.full(shape, window, dtype=np.int64)
    )


def add(
    before: Evidence, log_gain: Floats, *, window: int, opens: bool, log_cap: Floats | float
) -> Evidence:
    """The evidence after one more window.

    `opens` says that new bets may begin with this window; once a day, as the bound counts days.
    `log_cap` keeps a change that is long over from being remembered for as long as it lasted;
    cutting what was won never makes a false alarm likelier.
    """
    opened = np.logaddexp(before.log_sr, 0.0) if opens else before.log_sr
    log_sr = np.minimum(opened + log_gain, log_cap)
    anew = before.cusum <= 0.0
    cusum = np.minimum(np.maximum(before.cusum, 0.0) + log_gain, log_cap)
    return Evidence(log_sr, cusum, np.where(anew, window, before.began))


def log_total(evidence: Evidence, log_weights: Floats) -> Floats:
    """The evidence of each stream over all its alternatives, weighted; one axis less."""
    weighted = evidence.log_sr + log_weights
    most = weighted.max(axis=-1)
    finite = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return finite + np.log(np.exp(weighted - finite[..., None]).sum(axis=-1))


def leading(evidence: Evidence, log_weights: Floats) -> NDArray[np.int64]:
    """The alternative that has won most, for each stream."""
    return np.asarray((evidence.cusum + log_weights).argmax(axis=-1), dtype=np.int64)


def onset(evidence: Evidence, log_weights: Floats) -> NDArray[np.int64]:
    """The window in which the change began, as the leading alternative has it."""
    which = leading(evidence, log_weights)[..., None]
    return np.take_along_axis(evidence.began, which, axis=-1)[..., 0]
