"""When does a run open by itself? For an alert that holds, and by the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.settings import Settings
from monitoring.alerts import records as alerts
from monitoring.alerts.types import Alert
from monitoring.retraining import registry, runs
from monitoring.retraining.plan import Plan
from monitoring.retraining.planning import model_of, path_of, plan_of
from monitoring.retraining.registry import Kind
from monitoring.retraining.runs import Asked, Opening

BY_ITSELF = "monitor"
_EPOCH = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday: a run every seven days opens on Mondays."""


async def due(engine: AsyncEngine, settings: Settings, now: datetime) -> list[Asked]:
    """What asks for a run now, the most urgent first. Asking twice opens one run."""
    own = settings.retraining
    asked = [
        await of_alert(engine, settings, alert, now)
        for alert in await alerts.open_alerts(engine)
        if alert.job in own.alert_jobs and alert.inhibited_by is None
    ]
    if own.every_days is not None:
        period = timedelta(days=own.every_days)
        began = now - (now - _EPOCH) % period
        plan = await planned(engine, settings, now)
        asked.append(
            Asked(
                key=f"calendar:{plan.model}:{began:%Y-%m-%d}",
                model=plan.model,
                reason=f"every {own.every_days} days",
                opened_by=BY_ITSELF,
                parameters=msgspec.to_builtins(plan),
            )
        )
    return asked


async def of_alert(engine: AsyncEngine, settings: Settings, alert: Alert, now: datetime) -> Asked:
    """A run with the alert's exchanges as its evidence.

    The key is the alert and the window that raised it: while it only goes on, it asks for no other.
    """
    evidence = alert.evidence
    window = evidence.window_start or alert.started_at
    ids = tuple(UUID(one) for one in evidence.exchange_ids)
    plan = await planned(engine, settings, now, exchange_ids=ids)
    return Asked(
        key=f"alert:{alert.id}:{window:%Y-%m-%dT%H:%M}",
        model=plan.model,
        reason=alert.summary,
        opened_by=BY_ITSELF,
        alert_id=alert.id,
        parameters=msgspec.to_builtins(plan),
    )


async def planned(
    engine: AsyncEngine,
    settings: Settings,
    now: datetime,
    *,
    kind: Kind = "language_model",
    **changes: Any,
) -> Plan:
    """The plan of a run that opens now, on what the registry says serves now."""
    own = settings.retraining
    model = "compact" if kind == "detector" else own.model or model_of(settings)
    champion = await registry.champion(engine, model)
    served = None
    if champion is not None and champion.kind == kind:
        served = champion.version, path_of(champion.weights_uri)
    return plan_of(settings, now=now, kind=kind, served=served, **changes)


async def open_due(engine: AsyncEngine, settings: Settings, now: datetime) -> list[Opening]:
    """Ask for all that is due; what is held is asked for again the next time."""
    own = settings.retraining
    return [
        await runs.open_run(
            engine,
            asked,
            now=now,
            cooldown=timedelta(hours=own.cooldown_hours),
            needs_approval=own.approval,
        )
        for asked in await due(engine, settings, now)
    ]
