"""How often would a rule fire at other thresholds, and on whom?"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from uuid import UUID

from msgspec import Struct

from guardrails.policy.model import Rule
from monitoring.replay.records import Recorded
from monitoring.replay.redecide import worst

STEPS = 40


class Point(Struct, frozen=True):
    """A threshold, and how many exchanges reach it; of those that people judged, how many."""

    threshold: float
    fires: int
    harmful: int
    harmless: int


class Curve(Struct, frozen=True):
    """One rule over all thresholds. `n` exchanges were measured; `unmeasured` were not.

    `harmful` and `harmless` of the measured ones were judged so.
    """

    rule: str
    threshold: float
    n: int
    unmeasured: int
    harmful: int
    harmless: int
    points: tuple[Point, ...]


class Sweep:
    """Gathers the highest score that one rule looked at in each exchange.

    Cost: eight bytes an exchange, and a sort at the end.
    """

    def __init__(self, rule: Rule, harmful: Mapping[UUID, bool]) -> None:
        self._rule = rule
        self._judged = harmful
        self._scores: dict[bool | None, list[float]] = {None: [], True: [], False: []}
        self._unmeasured = 0

    def add(self, recorded: Recorded) -> None:
        """Take in one exchange."""
        score = worst(recorded, self._rule)
        if score is None:
            self._unmeasured += 1
        else:
            self._scores[self._judged.get(recorded.id)].append(score)

    def curve(self) -> Curve:
        """The rule at every fortieth, and at its own threshold."""
        scores = {judged: sorted(rows) for judged, rows in self._scores.items()}

        def reach(judged: bool | None, threshold: float) -> int:
            return len(scores[judged]) - bisect_left(scores[judged], threshold)

        def point(threshold: float) -> Point:
            harmful, harmless = reach(True, threshold), reach(False, threshold)
            fires = reach(None, threshold) + harmful + harmless
            return Point(threshold, fires, harmful, harmless)

        thresholds = {step / STEPS for step in range(STEPS + 1)} | {self._rule.threshold}
        return Curve(
            rule=self._rule.id,
            threshold=self._rule.threshold,
            n=sum(map(len, scores.values())),
            unmeasured=self._unmeasured,
            harmful=len(scores[True]),
            harmless=len(scores[False]),
            points=tuple(point(threshold) for threshold in sorted(thresholds)),
        )
