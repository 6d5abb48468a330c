"""Retention: what is kept no longer goes, by whole days where possible; erasures are done again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.chain import sealer_of
from guardrails.exchange_log.retention import retain
from guardrails.settings import Settings
from monitoring.connected import connected
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=1)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Hold every day to the settings as they stand now; FAILED where a day could not be dropped."""
    settings = Settings()
    async with connected(engine) as connection:
        done = await retain(
            connection,
            sealer_of(settings),
            settings.retention,
            settings.retention_days,
            evidence_days=settings.evidence_days,
            now=datetime.now(UTC),
        )
    counts = {
        "days dropped": len(done.dropped),
        "days held": len(done.held),
        "days in use": len(done.busy),
        "exchanges erased": done.erased,
        "words about them blanked": done.words,
        "holds on evidence released": done.released,
    }
    return Outcome(
        Status.FAILED if done.busy else Status.OK,
        len(done.dropped) + len(done.held) + len(done.busy),
        ", ".join(f"{count:,} {name}" for name, count in counts.items()),
        tuple(Figure(name, count, name.split()[0], count) for name, count in counts.items()),
    )
