"""Weekly report: made on Monday for the week before, kept for good, and mailed once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.settings import Settings
from monitoring.report.document import opened
from monitoring.report.make import make, tell
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=7)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Make and mail it; NO_DATA for a week without an exchange, FAILED where no mail got through.

    A run that is repeated finds the report and only mails what has not gone out.
    """
    settings = Settings()
    now = datetime.now(UTC)
    kept, new = await make(engine, window, links=settings.dashboard_url, now=now)
    channels = [one.get_secret_value() for one in settings.report_channels]
    sent = await tell(engine, kept, channels, now=now)
    failed = [one for one in sent if not one.ok]
    report = opened(kept.frozen)
    words = f"{report.week} {'made' if new else 'stands'}, {report.n:,} exchanges"
    words += f", sha256 {kept.sha256[:12]}"
    if sent:
        words += f", mailed to {len(sent) - len(failed)} of {len(sent)} channels"
    words += "".join(f"; {one.channel}: {one.error}" for one in failed)
    figures = (
        Figure("exchanges", report.n, "exchanges", report.n),
        Figure("report", len(kept.html), "bytes", 1),
    )
    status = Status.OK if report.n else Status.NO_DATA
    return Outcome(Status.FAILED if failed else status, report.n, words, figures)
