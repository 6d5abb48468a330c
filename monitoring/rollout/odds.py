"""Does the candidate do something more often than the champion? A bet on one block of both.

Of a block of `m` conversations with the candidate and `n` with the champion, in `hits` of which it
happened, `k` are the candidate's. Given m, n and hits, chance alone says how k falls: Fisher's
noncentral hypergeometric distribution with the odds ratio between the two. A bet on a ratio `told`
wins the likelihood of k under it against that under what is `tolerated`. It expects at most 1
whenever the true ratio is what is tolerated or less, whatever the champion's rate is and however it
changes from block to block: the product over blocks is an e-process, and may be looked at always.
Where the version makes no difference this is Fisher's exact test by randomisation, for which the
conversations need not be alike.

Source: R. A. Fisher, The logic of inductive inference, JRSS 98 (1935); A. Fog, Sampling methods for
Wallenius' and Fisher's noncentral hypergeometric distributions, Commun. Stat. 37 (2008); G. Shafer,
Testing by betting, JRSS A 184 (2021).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_gain(k: int, m: int, hits: int, n: int, *, tolerated: float, told: Floats) -> Floats:
    """What each bet `told` wins on a block, in natural logarithms; 0 where it can tell nothing."""
    low, high = max(0, hits - n), min(m, hits)
    if not low <= k <= high:
        raise ValueError(f"{k} of {hits} hits cannot be among {m} of {m + n}")
    if low == high:
        return np.zeros(len(told))
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, m + n + 1)))])
    j = np.arange(low, high + 1)
    ways = (
        factorial[m] - factorial[j] - factorial[m - j]
        + factorial[n] - factorial[hits - j] - factorial[n - hits + j]
    )  # fmt: skip

    def log_chance(log_odds: Floats) -> Floats:
        weights = ways + log_odds[:, None] * j
        top = weights.max(axis=1)
        total = top + np.log(np.exp(weights - top[:, None]).sum(axis=1))
        return np.asarray(ways[k - low] + log_odds * k - total)

    return log_chance(np.log(told)) - log_chance(np.log(np.array([tolerated])))
