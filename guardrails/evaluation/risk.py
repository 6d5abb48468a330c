"""From which score on may one act, so that a stated risk is kept on texts not yet seen?

The threshold is an order statistic of labelled scores. That the rate behind it is at most `risk`
holds with `confidence` whatever the scores' distribution, because the number of errors is binomial:
the largest number is allowed whose Clopper–Pearson bound (1934) is still within the risk. The rate
only falls as the threshold is made stricter, so looking at all thresholds costs nothing (Bates et
al., "Distribution-Free, Risk-Controlling Prediction Sets", 2021). On average instead of with
confidence, conformal risk control needs fewer rows (Angelopoulos et al., 2022).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np

from guardrails.errors import ConfigError
from guardrails.evaluation.measures import Interval, wilson

_STEPS = 1_000_000
"""Thresholds have six digits, rounded to the safe side, so that a policy file can hold them."""

Rate = Literal["false-positives", "misses"]


class Guarantee(msgspec.Struct, frozen=True):
    """A threshold and what is known of it.

    `errors` of `rows` rows are on the wrong side; `bound` is the upper Clopper–Pearson bound of
    their rate. `confidence` is None where the risk is kept on average. `price` is the share of the
    other class on its wrong side, None where the file has none.
    """

    label: str
    rate: Rate
    risk: float
    confidence: float | None
    threshold: float
    rows: int
    errors: int
    bound: float
    price: Interval | None

    @property
    def says(self) -> str:
        """The guarantee in a sentence."""
        kind, what, side = (
            ("harmless", "flagged", "at or above")
            if self.rate == "false-positives"
            else ("harmful", "missed", "below")
        )
        share = f"at most {self.risk:.3g} of {kind} texts are {what} (score {side} the threshold)"
        if self.confidence is None:
            return f"On average over draws of such {self.rows} rows, {share}."
        return f"With confidence {self.confidence:.3g} over the draw of {self.rows} rows, {share}."


def choose(
    label: str,
    scores: np.ndarray,
    truth: np.ndarray,
    *,
    risk: float,
    confidence: float | None = 0.95,
    rate: Rate = "false-positives",
) -> Guarantee:
    """The threshold that finds most while the risk is kept.

    Shape:  float (N,) and bool (N,). A text is flagged from the threshold on.
    Limits: it holds for texts drawn as these rows were, and for one label alone; choosing among
            several labels or files afterwards is not covered.
    Errors: ConfigError where the rows are too few for any threshold to keep the risk.
    """
    wrong = ~truth if rate == "false-positives" else truth
    concerned = np.sort(scores[wrong].astype(np.float64))
    rows = len(concerned)
    allowed = _allowed(rows, risk, confidence)
    if allowed < 0:
        raise ConfigError(
            f"{label}: {rows} {'harmless' if rate == 'false-positives' else 'harmful'} rows cannot"
            f" show a rate of {risk:g}"
            f"{'' if confidence is None else f' with confidence {confidence:g}'};"
            f" at least {least_rows(risk, confidence)} are needed."
        )
    if rate == "false-positives":
        # Just above the highest score that must not count, for ties with it would count too.
        highest = float(concerned[rows - 1 - allowed])
        threshold = (math.floor(highest * _STEPS) + 1) / _STEPS
        errors = int((concerned >= threshold).sum())
    else:
        threshold = math.floor(float(concerned[allowed]) * _STEPS) / _STEPS
        errors = int((concerned < threshold).sum())
    if threshold > 1:
        raise ConfigError(f"{label}: too many harmless rows score 1; no threshold keeps {risk:g}.")
    others = scores[~wrong]
    lost = others < threshold if rate == "false-positives" else others >= threshold
    return Guarantee(
        label=label,
        rate=rate,
        risk=risk,
        confidence=confidence,
        threshold=threshold,
        rows=rows,
        errors=errors,
        bound=clopper_pearson(errors, rows, confidence or 0.95),
        price=wilson(int(lost.sum()), len(others)) if len(others) else None,
    )


def least_rows(risk: float, confidence: float | None) -> int:
    """The fewest rows with which any threshold can be shown to keep the risk."""
    if confidence is None:
        return math.ceil(1 / risk - 1 - 1e-9)
    return math.ceil(math.log(1 - confidence) / math.log(1 - risk) - 1e-9)


def clopper_pearson(errors: int, rows: int, confidence: float) -> float:
    """The one-sided upper bound of a rate of which `errors` of `rows` were seen."""
    if errors >= rows:
        return 1.0
    low, high = errors / rows, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(errors, rows, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _allowed(rows: int, risk: float, confidence: float | None) -> int:
    """How many errors may be made; -1 when not even none is enough. Never all rows."""
    if confidence is None:
        return min(math.floor(risk * (rows + 1) + 1e-9) - 1, rows - 1)
    allowed = -1
    while allowed + 1 < rows and _at_most(allowed + 1, rows, risk) <= 1 - confidence:
        allowed += 1
    return allowed


def _at_most(errors: int, rows: int, rate: float) -> float:
    """The probability of at most so many errors in so many rows."""
    if rate <= 0 or rate >= 1:
        return 1.0 if rate <= 0 else float(errors >= rows)
    logs = (
        math.lgamma(rows + 1)
        - math.lgamma(k + 1)
        - math.lgamma(rows - k + 1)
        + k * math.log(rate)
        + (rows - k) * math.log1p(-rate)
        for k in range(errors + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))
