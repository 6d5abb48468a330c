"""Cascade: a cheap detector's score, and where that is uncertain a second detector's.

    careful:
      {kind: cascade, first: compact, label: toxicity, band: [0.2, 0.8],
       then: llama-guard, then_label: S10}

The settings say which scores are uncertain; what follows from a score is the policy's, as always.
Source: docs/models/cascade.md and docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from guardrails.asking import Row
from guardrails.errors import ConfigError
from guardrails.types import Detection

RUNS_IN = "checks"


class Counts(msgspec.Struct):
    """How many texts a cascade has measured, and how many of them the second detector saw."""

    texts: int = 0
    escalated: int = 0
    failed: int = 0

    @property
    def share_escalated(self) -> float:
        """Between 0 and 1; 0 before the first text."""
        return self.escalated / self.texts if self.texts else 0.0


def create(
    name: str,
    *,
    first: str,
    label: str,
    band: Sequence[float],
    then: str,
    then_label: str | None = None,
    on_error: Literal["fail", "first"] = "fail",
) -> Cascade:
    """A cascade of two detectors that are named in the settings or the policy.

    `band` is [lowest, highest] uncertain score, both included. `on_error` says what counts when
    the second detector fails: nothing (the check fails), or the first one's score.
    Errors: ConfigError.
    """
    numbers = len(band) == 2 and all(isinstance(edge, int | float) for edge in band)
    if not numbers or not 0 <= band[0] <= band[1] <= 1:
        raise ConfigError(f"{name}: band is two scores from 0 to 1, the lower one first.")
    if on_error not in ("fail", "first"):
        raise ConfigError(f"{name}: on_error is `fail` or `first`.")
    if len({name, first, then}) != 3:
        raise ConfigError(f"{name}: a cascade wants two detectors other than itself.")
    return Cascade(name, first, label, (band[0], band[1]), then, then_label or label, on_error)


class Cascade:
    """Which texts go on to the second detector, and what counts in the end."""

    def __init__(
        self,
        name: str,
        first: str,
        label: str,
        band: tuple[float, float],
        then: str,
        then_label: str,
        on_error: Literal["fail", "first"],
    ) -> None:
        self.name = name
        self.first = first
        self.label = label
        self.band = band
        self.then = then
        self.then_label = then_label
        self.on_error = on_error
        self.labels = (label,)
        self.counts = Counts()

    def uncertain(self, rows: Sequence[Row]) -> list[int]:
        """The numbers of the rows whose score lies in the band, and count them."""
        low, high = self.band
        found = [
            number
            for number, row in enumerate(rows)
            if low <= max(hit.score for hit in row if hit.label == self.label) <= high
        ]
        self.counts.texts += len(rows)
        self.counts.escalated += len(found)
        return found

    def combine(self, rows: Sequence[Row], second: Mapping[int, Row]) -> list[Row]:
        """Each text's score: the second detector's where it looked, else the first one's.

        `evidence` says which detector it is from.
        """
        return [
            _taken(second[number], self.then_label, self.label, self.then)
            if number in second
            else _taken(row, self.label, self.label, self.first)
            for number, row in enumerate(rows)
        ]

    def check_tiers(self, known: Mapping[str, Sequence[str]]) -> None:
        """Errors: ConfigError where a detector or its label is not there."""
        for detector, label in ((self.first, self.label), (self.then, self.then_label)):
            if detector not in known:
                there = ", ".join(sorted(known))
                raise ConfigError(f"{self.name}: no detector {detector!r}; there are {there}.")
            if label not in known[detector]:
                labels = ", ".join(known[detector])
                raise ConfigError(
                    f"{self.name}: {detector} has no label {label!r}; it has {labels}."
                )


def _taken(row: Row, theirs: str, ours: str, detector: str) -> Row:
    return [
        Detection(ours, hit.score, 0, hit.start, hit.end, detector)
        for hit in row
        if hit.label == theirs
    ]
