"""How is a week's report made, once, and sent, once?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.alerts.notify import Sent
from monitoring.report import records
from monitoring.report.collect import collect
from monitoring.report.document import opened, packed, sha256_of
from monitoring.report.mail import mail
from monitoring.report.records import Report
from monitoring.report.render import pages
from monitoring.types import Window


async def make(
    engine: AsyncEngine, window: Window, *, links: str | None, now: datetime
) -> tuple[Report, bool]:
    """The week's report, and whether it is new: one that was kept stands, whatever came since.

    Errors: ValueError for a week that has not ended: it would be frozen half.
    """
    monday = window.start.date()
    kept = await records.find(engine, monday)
    if kept is not None:
        return kept, False
    if now < window.end:
        raise ValueError(f"the week ends on {window.end:%Y-%m-%d}: its report is made then")
    report = await collect(engine, window, links=links or "")
    page, printed = pages(report)
    new = await records.keep(
        engine,
        monday,
        frozen=msgspec.json.decode(packed(report)),
        html=page,
        pdf=printed,
        sha256=sha256_of(report),
        now=now,
    )
    kept = await records.find(engine, monday)
    if kept is None:
        raise LookupError(f"the report of {monday} that was just kept is gone")
    return kept, new


async def tell(
    engine: AsyncEngine,
    kept: Report,
    channels: Sequence[str],
    *,
    now: datetime,
    again: bool = False,
) -> list[Sent]:
    """Mail a report, unless it went out before; it counts as gone once one channel has taken it."""
    if not channels or (kept.mailed_at is not None and not again):
        return []
    sent = await mail(channels, opened(kept.frozen), kept.pdf)
    if any(one.ok for one in sent):
        await records.mailed(engine, kept.week_start, now)
    return sent
