"""What does a chart show? Data, unit, n and window; nothing of how it is drawn.

All of it is frozen and hashable, so a chart that was drawn once need not be drawn again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from monitoring.types import Window


class Kind(StrEnum):
    """How the data lie: over time (LINE, STACKED, SPARK), or side by side (BAR, INTERVAL)."""

    LINE = "line"
    STACKED = "stacked"
    SPARK = "spark"
    BAR = "bar"
    INTERVAL = "interval"


class Tone(StrEnum):
    """Which colour: the four decisions and `failed` keep theirs; other series take one to four."""

    INK = "ink"
    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"
    FAILED = "failed"
    ONE = "series-1"
    TWO = "series-2"
    THREE = "series-3"
    FOUR = "series-4"


class Point(Struct, frozen=True, omit_defaults=True):
    """One value, at a moment (the start of its step) or of something with a name.

    Units: the chart's. `value` is None where there was too little to measure, never 0; `low` and
    `high` bound its 95 % interval; `before` is what it was earlier, drawn beside it in a BAR.
    """

    at: datetime | str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    before: float | None = None


class Series(Struct, frozen=True):
    """Values of one kind, in the order in which they are drawn."""

    name: str
    points: tuple[Point, ...]
    tone: Tone = Tone.ONE


class Marker(Struct, frozen=True):
    """Something that happened at a moment: a new policy, model or template; an alert."""

    at: datetime
    label: str


class Chart(Struct, frozen=True):
    """One chart.

    Units:  `unit` says which: a `share` is in [0, 1] and shown in percent, `seconds` and
            `points` (differences of shares) are too; anything else is counted (`exchanges`).
    Limits: LINE, STACKED and SPARK need `step`, the length that one point stands for; STACKED adds
            its series up, in their order from the ground. `n` is what the whole chart rests on.
    """

    kind: Kind
    title: str
    unit: str
    n: int
    window: Window
    series: tuple[Series, ...]
    step: timedelta | None = None
    markers: tuple[Marker, ...] = ()
    threshold: float | None = None
    usual: tuple[float, float] | None = None
    of: str = ""
    note: str = ""

    @property
    def over_time(self) -> bool:
        """Whether its points stand at moments."""
        return self.kind in (Kind.LINE, Kind.STACKED, Kind.SPARK)

    @property
    def empty(self) -> bool:
        """Whether nothing could be measured at all."""
        return all(point.value is None for one in self.series for point in one.points)
