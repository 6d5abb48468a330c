"""Do two people who saw the same say the same? Krippendorff's alpha, with an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitoring.prevalence.estimate import Estimate

MIN_ITEMS = 20
_DRAWS = 1_000
_SEED = 20261126


def alpha(said: Sequence[Sequence[bool]]) -> Estimate:
    """1: always; 0: as often as by chance; below 0: less often.

    `said` has one row an item: what each reviewer of it said; rows of one are left out.
    The interval is that of a bootstrap over items, so it knows nothing of other reviewers.
    Source: K. Krippendorff, Content Analysis (2004), nominal alpha; it allows for missing labels
            and for small samples, which Cohen's kappa of two fixed people does not.
    """
    rows = np.array([(sum(row), len(row)) for row in said if len(row) >= 2], dtype=float)
    if len(rows) < MIN_ITEMS:
        return Estimate(None, None, None, len(rows), f"needs {MIN_ITEMS} items seen by two")
    chance = np.random.default_rng(_SEED)
    value = float(_alpha(rows[None])[0])
    if np.isnan(value):
        return Estimate(None, None, None, len(rows), "all said the same of every item")
    drawn = rows[chance.integers(0, len(rows), (_DRAWS, len(rows)))]
    low, high = np.nanquantile(_alpha(drawn), (0.025, 0.975))
    return Estimate(value, min(value, float(low)), max(value, float(high)), len(rows))


def _alpha(rows: np.ndarray) -> np.ndarray:
    """One alpha for each draw; NaN where all labels are the same, for then chance agrees too."""
    yes, each = rows[..., 0], rows[..., 1]
    apart = (2 * yes * (each - yes) / (each - 1)).sum(axis=-1)
    all_yes, n = yes.sum(axis=-1), each.sum(axis=-1)
    expected = 2 * all_yes * (n - all_yes) / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(expected > 0, 1 - apart / expected, np.nan))
