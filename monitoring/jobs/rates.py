"""Rates: which share of the last hour's exchanges was blocked, flagged or redacted, or failed."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.frames import Outcomes, outcomes
from monitoring.intervals import wilson
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(hours=1)
MIN_EXCHANGES = 30
RATES = ("block", "flag", "redact", "failed", "check_failed")


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Count the window and bound each rate."""
    return judge(await outcomes(engine, window))


def judge(counted: Outcomes) -> Outcome:
    """The rates with their intervals; NO_DATA below MIN_EXCHANGES.

    It measures and judges no change: that takes a test over many hours.
    """
    if counted.n < MIN_EXCHANGES:
        return Outcome(
            Status.NO_DATA,
            counted.n,
            f"{counted.n} exchanges; a rate needs {MIN_EXCHANGES}",
            tuple(_unknown(name, counted.n) for name in RATES),
        )
    figures = tuple(_rate(name, getattr(counted, name), counted.n) for name in RATES)
    blocked = figures[0]
    message = f"blocked {counted.block} of {counted.n}: {blocked.value:.1%}"
    return Outcome(Status.OK, counted.n, message, figures)


def _rate(name: str, hits: int, n: int) -> Figure:
    interval = wilson(hits, n)
    low, high = interval if interval else (None, None)
    return Figure(f"{name} rate", hits / n, "share", n, low=low, high=high)


def _unknown(name: str, n: int) -> Figure:
    return Figure(f"{name} rate", None, "share", n, Status.NO_DATA)
