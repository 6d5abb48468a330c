"""Alerts, signals and standings for tests, whole and plausible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from monitoring.alerts.rules import Signal, Standing, source
from monitoring.alerts.types import Alert, Evidence, Severity, State
from monitoring.types import Alarm, Figure, Outcome, Run, Status, Window

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
EVERY = 6 * HOUR


def a_figure(metric: str = "block", where: str = "all", layer: int = 1, **changes: Any) -> Figure:
    fields: dict[str, Any] = {
        "name": f"{metric} rate",
        "value": 0.08,
        "unit": "share",
        "n": 400,
        "status": Status.DRIFT,
        "low": 0.05,
        "high": 0.11,
        "threshold": 0.03,
        "alarm": Alarm(metric, where, layer, NOW - 12 * HOUR),
    }
    return Figure(**{**fields, **changes})


def a_run(
    status: Status = Status.DRIFT,
    *figures: Figure,
    job: str = "rate_drift",
    end: datetime = NOW,
    every: timedelta = EVERY,
) -> Run:
    outcome = Outcome(status, 400, "as it was", figures)
    return Run(job, Window(end - every, end), outcome, end, end)


def a_standing(run: Run | None, **changes: Any) -> Standing:
    fields: dict[str, Any] = {
        "job": run.job if run else "rate_drift",
        "every": EVERY,
        "latest": run,
        "measured_until": run.window.end if run else None,
        "first_known": NOW,
    }
    return Standing(**{**fields, **changes})


def a_signal(metric: str = "block", where: str = "all", layer: int = 1, **changes: Any) -> Signal:
    fields: dict[str, Any] = {
        "key": f"drift:rate_drift:{metric}:{where}",
        "source": source("drift", "rate_drift"),
        "job": "rate_drift",
        "severity": Severity.WARNING,
        "labels": labels_of(metric, where, layer),
        "summary": f"{metric} on {where}",
        "evidence": Evidence((a_figure(metric, where, layer),), NOW - EVERY, NOW),
    }
    return Signal(**{**fields, **changes})


def an_alert(metric: str = "block", where: str = "all", layer: int = 1, **changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "key": f"drift:rate_drift:{metric}:{where}",
        "job": "rate_drift",
        "severity": Severity.WARNING,
        "state": State.FIRING,
        "labels": labels_of(metric, where, layer),
        "summary": f"{metric} on {where}",
        "evidence": Evidence((a_figure(metric, where, layer),), NOW - EVERY, NOW),
        "started_at": NOW,
        "updated_at": NOW,
    }
    return Alert(**{**fields, **changes})


def labels_of(metric: str, where: str, layer: int) -> dict[str, str]:
    kind = "health" if layer == 0 else "drift"
    labels = {"alertname": kind, "job": "rate_drift", "layer": str(layer), "metric": metric,
              "slice": where}  # fmt: skip
    name, equals, value = where.partition("=")
    return labels | ({name: value} if equals else {})
