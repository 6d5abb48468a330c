"""Filter quality: prevalence, precision and recall by the labels of the last four weeks."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.prevalence.estimate import Estimate
from monitoring.prevalence.filters import Filters, filters
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=1)
LOOKED_BACK = timedelta(days=28)
"""A day has too few labels; and people label what is some days old."""


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Estimate over the four weeks until the window's end."""
    return judge(await filters(engine, Window(window.end - LOOKED_BACK, window.end)))


def judge(found: Filters) -> Outcome:
    """The estimates as figures; it judges no change."""
    figures = [_figure("reviewers' agreement", found.agreement, "alpha")]
    for category, quality in found.by_category.items():
        for name in ("prevalence", "precision", "recall"):
            figures.append(_figure(f"{name} of {category}", getattr(quality, name), "share"))
    missing = found.sampled - found.labelled
    words = f"{found.labelled:,} of {found.sampled:,} sampled items labelled, {missing:,} not yet"
    known = any(figure.value is not None for figure in figures)
    return Outcome(Status.OK if known else Status.NO_DATA, found.labelled, words, tuple(figures))


def _figure(name: str, one: Estimate, unit: str) -> Figure:
    status = Status.NO_DATA if one.value is None else Status.OK
    return Figure(name, one.value, unit, one.n, status, one.low, one.high, note=one.note or None)
