"""What becomes of the alerts when the rules have looked once more? Pure functions.

                    ┌──────── clear again ────────┐
    signal ─▶ firing ─▶ acknowledged ─▶ resolved ◀┘
                 ▲            (people)
                 └ a later signal of the same key is a new alert

What could not be measured changes nothing: an alert ends by good news, never by silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from monitoring.alerts.matching import explained_by
from monitoring.alerts.rules import KEEP_FIRING, Seen, Signal, source
from monitoring.alerts.types import Alert, Severity, State

MOST_IDS = 20
"""Exchanges that an alert keeps as evidence, and holds."""


class Change(Struct, frozen=True):
    """An alert as it stands now, and what happened to it; no `kinds`: only its evidence is new."""

    alert: Alert
    kinds: tuple[str, ...]
    is_new: bool = False


def advance(
    before: Sequence[Alert], seen: Seen, now: datetime, new_id: Callable[[], UUID]
) -> list[Change]:
    """Every open alert and every new one, as they stand after the rules have looked.

    `before` are the open ones. What was resolved is among the changes once.
    """
    signals = {signal.key: signal for signal in seen.signals}
    changes: list[Change] = []
    for alert in before:
        signal = signals.pop(alert.key, None)
        if signal is not None:
            changes.append(_goes_on(alert, signal, now))
        elif _clear(alert, seen, now):
            resolved = msgspec.structs.replace(
                alert, state=State.RESOLVED, resolved_at=now, updated_at=now
            )
            changes.append(Change(resolved, ("resolved",)))
        else:
            changes.append(Change(alert, ()))
    for signal in signals.values():
        alert = Alert(
            id=new_id(),
            key=signal.key,
            job=signal.job,
            severity=signal.severity,
            state=State.FIRING,
            labels=signal.labels,
            summary=signal.summary,
            evidence=signal.evidence,
            started_at=now,
            updated_at=now,
        )
        changes.append(Change(alert, ("fired",), is_new=True))
    return _inhibited(changes, now)


def _goes_on(alert: Alert, signal: Signal, now: datetime) -> Change:
    ids = (*alert.evidence.exchange_ids, *signal.evidence.exchange_ids)
    evidence = msgspec.structs.replace(
        signal.evidence,
        exchange_ids=tuple(dict.fromkeys(ids))[:MOST_IDS],
        since=alert.evidence.since or signal.evidence.since,
    )
    worse = signal.severity is Severity.CRITICAL and alert.severity is Severity.WARNING
    if not worse and evidence == alert.evidence and signal.summary == alert.summary:
        return Change(alert, ())
    changed = msgspec.structs.replace(
        alert,
        # It does not become less grave while it lasts: that is for its end to say.
        severity=Severity.CRITICAL if worse else alert.severity,
        summary=signal.summary,
        evidence=evidence,
        updated_at=now,
    )
    return Change(changed, ("worsened",) if worse else ())


def _clear(alert: Alert, seen: Seen, now: datetime) -> bool:
    """Whether what the alert is about was measured, and has been well for long enough."""
    name = "drift" if "layer" in alert.labels else alert.labels.get("alertname", "")
    if source(name, alert.job) not in seen.measured:
        return False
    last_seen = alert.evidence.window_end or alert.started_at
    return now - max(last_seen, alert.started_at) >= KEEP_FIRING


def _inhibited(changes: Sequence[Change], now: datetime) -> list[Change]:
    """The same, with each open alert told which other one explains it."""
    alerts = [change.alert for change in changes]
    done = []
    for change in changes:
        alert = change.alert
        by = explained_by(alert, alerts) if alert.open else None
        by_id = by.id if by is not None else None
        if alert.open and by_id != alert.inhibited_by:
            kind = "inhibited" if by_id is not None else "uninhibited"
            alert = msgspec.structs.replace(alert, inhibited_by=by_id, updated_at=now)
            change = Change(alert, (*change.kinds, kind), change.is_new)
        done.append(change)
    return done
