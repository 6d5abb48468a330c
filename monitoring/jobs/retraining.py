"""Retraining: runs open for alerts and by the calendar, and go on where they were cut short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.settings import Settings
from monitoring.retraining import runs, workers
from monitoring.retraining.trigger import open_due
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(minutes=5)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Open what is due where the settings say so; see to every run that may work."""
    settings = Settings()
    openings = []
    if settings.retraining.enabled:
        openings = await open_due(engine, settings, datetime.now(UTC))
    idle = await workers.abandoned(engine) if settings.retraining.here else []
    data_dir = settings.data_dir.expanduser().absolute()
    for run_id in idle:
        workers.start(
            run_id,
            data_dir / "logs" / f"retraining-{run_id}.log",
            {
                "BANISTER_DATABASE_URL": engine.url.render_as_string(hide_password=False),
                "BANISTER_DATA_DIR": str(data_dir),
            },
        )
    waiting = len(await runs.recent(engine, state="waiting"))
    held = [opening.held for opening in openings if opening.held]
    counts = {
        "opened": sum(opening.new for opening in openings),
        "held": len(held),
        "waiting for approval": waiting,
        "set to work": len(idle),
    }
    message = ", ".join(f"{count} {name}" for name, count in counts.items())
    if not settings.retraining.enabled:
        message += "; none opens by itself (BANISTER_RETRAINING__ENABLED)"
    return Outcome(
        Status.OK,
        sum(counts.values()),
        "; ".join([message, *dict.fromkeys(held)]),
        tuple(Figure(name, count, "runs", count) for name, count in counts.items()),
    )
