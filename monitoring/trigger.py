"""When is a job due? A little after each of its windows has ended, whenever its scheduler began."""

from __future__ import annotations

from datetime import datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

from monitoring.windows import EPOCH


class AfterWindow(BaseTrigger):  # type: ignore[misc]
    """Due `settle` after the end of each whole period of `interval`.

    APScheduler's own interval counts from the last run, and a new leader's first run is at once: a
    daily job would then be due at the hour of the last takeover.
    """

    def __init__(self, interval: timedelta, settle: timedelta) -> None:
        self.interval = interval
        self._settle = settle

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first such moment after now, and after the last one."""
        after = now if previous_fire_time is None else max(previous_fire_time, now)
        passed = (after - EPOCH - self._settle) // self.interval
        return EPOCH + self._settle + (passed + 1) * self.interval

    def __str__(self) -> str:
        return f"{self._settle} after each {self.interval}"
