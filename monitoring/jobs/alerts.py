"""Alerts: what the runs say that people must know, told once for each change and until it ends.

It looks at what is, not at a window's rows, so only the newest window matters.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.settings import Settings
from monitoring import jobs
from monitoring.alerts import wording
from monitoring.alerts.deliver import deliver
from monitoring.alerts.evaluate import Channels, evaluate
from monitoring.alerts.grouping import Timing
from monitoring.alerts.notify import address
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(minutes=1)
NAME = "alerts"
ONLY_NEWEST = True

logger = logging.getLogger(__name__)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Look, write down, and send what is due; FAILED while a message waits for a second attempt."""
    settings = Settings()
    urls = [one.get_secret_value() for one in settings.alert_channels]
    escalation = [one.get_secret_value() for one in settings.alert_escalation_channels]
    addresses = {address(url): url for url in (*urls, *escalation)}
    told = await evaluate(
        engine,
        [(job.name, job.every) for job in jobs.load_all() if job.name != NAME],
        Channels(
            tuple(address(url) for url in urls),
            tuple(address(url) for url in escalation),
            settings.dashboard_url,
        ),
        timing_of(settings),
        datetime.now(UTC),
    )
    for message in told.messages:
        logger.warning("ALERT %s", wording.subject(message))
    sent = await deliver(engine, addresses, now=lambda: datetime.now(UTC))
    wrong = sent.failed + sent.given_up
    return Outcome(
        Status.FAILED if wrong else Status.OK,
        told.open,
        f"{told.open} open, {len(told.messages)} messages, {sent.sent} sent"
        + (f", {sent.failed} to be tried again" if sent.failed else "")
        + (f", {sent.given_up} given up" if sent.given_up else ""),
        (
            Figure("open", told.open, "alerts", told.open),
            Figure("sent", sent.sent, "messages", sent.sent),
            Figure("failed", wrong, "messages", wrong),
        ),
    )


def timing_of(settings: Settings) -> Timing:
    """How patient notifications are, as configured."""
    escalate = settings.alert_escalate_minutes
    return Timing(
        timedelta(seconds=settings.alert_group_wait_seconds),
        timedelta(minutes=settings.alert_group_interval_minutes),
        timedelta(hours=settings.alert_repeat_hours),
        timedelta(minutes=escalate) if settings.alert_escalation_channels else None,
    )
