"""The words that monitoring speaks in: a window, what a job found in it, a run's record."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Status(StrEnum):
    """How a run ended. Only OK is good news: NO_DATA and FAILED never count as passing."""

    OK = "OK"
    DRIFT = "DRIFT"
    NO_DATA = "NO_DATA"
    FAILED = "FAILED"


class Window(Struct, frozen=True):
    """A span of time, `start` included and `end` not; both aware and in UTC."""

    start: datetime
    end: datetime


class Alarm(Struct, frozen=True, omit_defaults=True):
    """What a figure in DRIFT is an alarm of, for the alerts.

    `layer` (0 to 5) inhibits later ones; `slice` is `all`, or as `route=support`; `since` is when
    the change began, where that is known.
    """

    metric: str
    slice: str = "all"
    layer: int = 0
    since: datetime | None = None
    critical: bool = False


class Figure(Struct, frozen=True, omit_defaults=True):
    """One measured number with all that is needed to judge it.

    Units: `unit` says which (`share`, `exchanges`, `distance`, `partitions`); a share is in [0, 1].
    Limits: `value` is None where there was too little to measure, never 0. `low` and `high` bound
    the 95 % interval where there is one; `threshold` is what `value` was held against.
    """

    name: str
    value: float | None
    unit: str
    n: int
    status: Status = Status.OK
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    note: str | None = None
    alarm: Alarm | None = None


class Outcome(Struct, frozen=True):
    """What a job hands back: its status, how many rows it looked at, and its figures."""

    status: Status
    n: int
    message: str
    figures: tuple[Figure, ...] = ()


class Run(Struct, frozen=True):
    """One job over one window, as recorded."""

    job: str
    window: Window
    outcome: Outcome
    started_at: datetime
    finished_at: datetime

    @property
    def status(self) -> Status:
        """How it ended."""
        return self.outcome.status
