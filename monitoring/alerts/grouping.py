"""Who is told now? Groups, their waits and repeats, silences and escalation. Pure functions.

As Alertmanager has them: a group waits a little before it first tells, tells what changed after an
interval, and repeats what goes on after a longer one. What is silenced or inhibited is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import Struct

from monitoring.alerts.matching import silenced_by
from monitoring.alerts.types import Alert, Silence, State


class Timing(Struct, frozen=True):
    """How patient notifications are; `escalate_after` None: nobody else is told."""

    group_wait: timedelta = timedelta(seconds=60)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta = timedelta(hours=12)
    escalate_after: timedelta | None = timedelta(minutes=30)


class Group(Struct, frozen=True):
    """What was last told of a group: which alerts were firing, and which were resolved."""

    key: str
    opened_at: datetime
    notified_at: datetime | None = None
    firing: tuple[UUID, ...] = ()
    resolved: tuple[UUID, ...] = ()


class Message(Struct, frozen=True):
    """Something to tell. `explained` alerts are open and inhibited by one that is firing."""

    kind: Literal["change", "repeat", "escalation"]
    group: str
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...] = ()
    explained: tuple[Alert, ...] = ()
    escalated: bool = False

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All that the message names."""
        return (*self.firing, *self.resolved, *self.explained)


class Plan(Struct, frozen=True):
    """The messages to send, the groups as they are then, and what changes in the alerts."""

    messages: tuple[Message, ...]
    groups: tuple[Group, ...]
    escalated: tuple[UUID, ...]
    first_told: tuple[UUID, ...]


def group_of(alert: Alert) -> str:
    """What is told together: `drift`, `health`, or what monitoring itself cannot do."""
    name = alert.labels.get("alertname", alert.job)
    return "monitoring" if name.startswith("job_") else name


def plan(
    alerts: Sequence[Alert],
    before: Sequence[Group],
    silences: Sequence[Silence],
    now: datetime,
    timing: Timing,
) -> Plan:
    """What to tell of open and just resolved alerts, given what was told before."""
    known = {group.key: group for group in before}
    by_group: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_group.setdefault(group_of(alert), []).append(alert)
    messages: list[Message] = []
    groups: list[Group] = []
    escalated: list[UUID] = []
    for key in sorted(known.keys() | by_group.keys()):
        members = by_group.get(key, [])
        group = known.get(key) or Group(key, now)
        silent = {a.id for a in members if silenced_by(a, silences, now) is not None}
        message, told = _of_group(group, members, silent, now, timing)
        if message is not None:
            messages.append(message)
        if told is None:
            continue
        groups.append(told)
        after = timing.escalate_after
        late = [] if after is None else _late(members, silent, now, after)
        if late:
            messages.append(Message("escalation", key, tuple(late), escalated=True))
            escalated += [alert.id for alert in late]
    first_told = [a.id for one in messages for a in one.firing if a.told_at is None]
    return Plan(tuple(messages), tuple(groups), tuple(escalated), tuple(first_told))


def _of_group(
    group: Group, members: Sequence[Alert], silent: set[UUID], now: datetime, timing: Timing
) -> tuple[Message | None, Group | None]:
    """What to tell of a group, and what was told then; no group where nothing is left to tell."""
    told = set(group.firing)
    firing = [a for a in members if a.open and a.inhibited_by is None and a.id not in silent]
    resolved = [a for a in members if not a.open and a.id in told and a.id not in silent]
    # What was told, and is muted now, stays told: when the mute ends, nothing has changed.
    muted = [a.id for a in members if a.open and a.id in told and a not in firing]
    kind: Literal["change", "repeat"]
    if resolved or any(a.id not in told for a in firing):
        kind = "change"
        due = (
            group.opened_at + timing.group_wait
            if group.notified_at is None
            else group.notified_at + timing.group_interval
        )
    elif any(a.state is State.FIRING for a in firing) and group.notified_at is not None:
        kind = "repeat"
        due = group.notified_at + timing.repeat_interval
    else:
        return None, group if firing or muted else None
    if now < due:
        return None, group
    message = Message(
        kind,
        group.key,
        tuple(firing),
        tuple(resolved),
        tuple(a for a in members if a.open and a.inhibited_by is not None),
        escalated=any(a.escalated_at is not None for a in resolved),
    )
    told_now = (*(a.id for a in firing), *muted)
    return message, Group(group.key, group.opened_at, now, told_now, tuple(a.id for a in resolved))


def _late(
    members: Sequence[Alert], silent: set[UUID], now: datetime, after: timedelta
) -> list[Alert]:
    """Alerts that were told long ago and that nobody has acknowledged."""
    return [
        a
        for a in members
        if a.state is State.FIRING
        and a.escalated_at is None
        and a.inhibited_by is None
        and a.id not in silent
        and a.told_at is not None
        and now - a.told_at >= after
    ]
