"""Bias rates: whether a group's or language's block, flag or toxicity rate lies apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.bias.counts import Counted, counts
from monitoring.bias.gaps import Gap, figures, gaps
from monitoring.types import Outcome, Status, Window

EVERY = timedelta(days=7)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Compare every group and language of the week with the rest."""
    counted = await counts(engine, window)
    return judge(counted, gaps(counted))


def judge(counted: Sequence[Counted], found: Sequence[Gap]) -> Outcome:
    """DRIFT where a gap is beyond chance and one point; NO_DATA where none could be judged."""
    n = sum(one.n for one in counted if one.kind == "language")
    apart = [gap for gap in found if gap.status is Status.DRIFT]
    judged = [gap for gap in found if gap.apart is not None]
    words = [f"{len(judged)} gaps judged, {len(found) - len(judged)} with too few exchanges"]
    words += [f"{gap.rate} of {gap.kind} {gap.name}" for gap in apart]
    status = Status.DRIFT if apart else Status.OK if judged else Status.NO_DATA
    return Outcome(status, n, "; ".join(words), figures(found))
