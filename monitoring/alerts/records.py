"""Where do alerts stand, what happened to them, and what may people do about them?

The tables `alerts`, `alert_events`, `alert_silences` and `alert_notifications`. Whoever changes an
alert leaves an event with their name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Select, Text, cast, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log.alert_tables import (
    alert_events,
    alert_notifications,
    alert_silences,
    alerts,
)
from monitoring.alerts.types import (
    Alert,
    Event,
    Matcher,
    Notification,
    Severity,
    Silence,
    State,
)

T = TypeVar("T", bound=Struct)

LOCK = 0x62616E416C65  # "banAle"

MONITOR = "monitor"
"""Who did it, where no person did."""


async def open_alerts(engine: AsyncEngine) -> list[Alert]:
    """Every alert that is firing or acknowledged: critical ones first, then the oldest."""
    return await _alerts(
        engine,
        select(alerts)
        .where(alerts.c.state != State.RESOLVED.value)
        .order_by(alerts.c.severity, alerts.c.started_at, alerts.c.id),
    )


async def list_alerts(
    engine: AsyncEngine,
    *,
    states: Sequence[State] = tuple(State),
    severity: Severity | None = None,
    job: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Alert]:
    """Alerts, the latest first. `since` and `until` bound when they started."""
    conditions: list[ColumnElement[bool]] = [alerts.c.state.in_([one.value for one in states])]
    if severity is not None:
        conditions.append(alerts.c.severity == severity.value)
    if job is not None:
        conditions.append(alerts.c.job == job)
    if since is not None:
        conditions.append(alerts.c.started_at >= since)
    if until is not None:
        conditions.append(alerts.c.started_at < until)
    return await _alerts(
        engine,
        select(alerts)
        .where(*conditions)
        .order_by(alerts.c.started_at.desc(), alerts.c.id)
        .limit(limit)
        .offset(offset),
    )


async def find(engine: AsyncEngine, alert_id: UUID) -> Alert | None:
    """One alert; None where there is none such."""
    found = await _alerts(engine, select(alerts).where(alerts.c.id == alert_id))
    return found[0] if found else None


async def beginning(engine: AsyncEngine, prefix: str) -> list[Alert]:
    """The alerts whose id begins so, at most two: for people, who type eight letters of it."""
    begins = cast(alerts.c.id, Text).startswith(prefix.lower(), autoescape=True)
    return await _alerts(engine, select(alerts).where(begins).limit(2))


async def history(engine: AsyncEngine, alert_id: UUID) -> list[Event]:
    """What happened to an alert, oldest first."""
    statement = (
        select(alert_events)
        .where(alert_events.c.alert_id == alert_id)
        .order_by(alert_events.c.at, alert_events.c.kind)
    )
    async with engine.connect() as connection:
        return [read(row, Event) for row in await connection.execute(statement)]


async def notifications(engine: AsyncEngine, alert_id: UUID) -> list[Notification]:
    """Every message that told of an alert, with what became of it, oldest first."""
    table = alert_notifications
    columns = [table.c[name] for name in Notification.__struct_fields__]
    statement = (
        select(*columns)
        .where(table.c.alert_ids.any_() == alert_id)
        .order_by(table.c.made_at, table.c.channel)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(statement)
        return [read(row, Notification) for row in rows]


async def acknowledge(engine: AsyncEngine, alert_id: UUID, who: str, now: datetime) -> bool:
    """Say that somebody has a firing alert in hand: it is told no more until it is resolved.

    False where it is not firing.
    """
    changes = {
        "state": State.ACKNOWLEDGED.value,
        "acknowledged_by": who,
        "acknowledged_at": now,
        "updated_at": now,
    }
    async with engine.begin() as connection:
        return await _move(connection, alert_id, (State.FIRING,), changes, "acknowledged", who, now)


async def resolve(
    engine: AsyncEngine, alert_id: UUID, who: str, now: datetime, reason: str = ""
) -> bool:
    """Close an open alert by hand; False where it is not open.

    What still holds is raised again, as a new alert, when a later run of its job finds it.
    """
    changes = {"state": State.RESOLVED.value, "resolved_at": now, "updated_at": now}
    open_states = (State.FIRING, State.ACKNOWLEDGED)
    async with engine.begin() as connection:
        detail = {"reason": reason} if reason else {}
        return await _move(connection, alert_id, open_states, changes, "resolved", who, now, detail)


async def silence(
    engine: AsyncEngine,
    matchers: Sequence[Matcher],
    starts_at: datetime,
    ends_at: datetime,
    who: str,
    reason: str,
) -> UUID:
    """Tell nothing of the alerts that every matcher fits, for a time; they are still recorded.

    Errors: ValueError without a matcher, or where the time ends before it begins.
    """
    if not matchers:
        raise ValueError("a silence needs a matcher: one that fits all would hide everything")
    if ends_at <= starts_at:
        raise ValueError("a silence ends after it begins")
    values = {
        "matchers": msgspec.to_builtins(list(matchers)),
        "starts_at": starts_at,
        "ends_at": ends_at,
        "made_by": who,
        "reason": reason,
    }
    statement = insert(alert_silences).values(values).returning(alert_silences.c.id)
    async with engine.begin() as connection:
        made: UUID = (await connection.execute(statement)).scalar_one()
    return made


async def silences(engine: AsyncEngine, now: datetime) -> list[Silence]:
    """The silences that hold now or later, the next to end first."""
    async with engine.connect() as connection:
        return await silences_of(connection, now)


async def silences_of(connection: AsyncConnection, now: datetime) -> list[Silence]:
    """The same, within a transaction."""
    table = alert_silences.c
    columns = [table[name] for name in Silence.__struct_fields__]
    statement = select(*columns).where(table.ends_at > now).order_by(table.ends_at, table.id)
    rows = await connection.execute(statement)
    return [read(row, Silence) for row in rows]


async def end_silence(engine: AsyncEngine, silence_id: UUID, now: datetime) -> bool:
    """End a silence at once; False where none such holds or is to come."""
    table = alert_silences.c
    statement = (
        update(alert_silences)
        .where(table.id == silence_id, table.ends_at > now)
        .values(ends_at=now)
    )
    async with engine.begin() as connection:
        return (await connection.execute(statement)).rowcount == 1


async def one_at_a_time(connection: AsyncConnection) -> None:
    """Wait until nobody else changes alerts; until the transaction ends nobody will."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


async def note(
    connection: AsyncConnection,
    alert_id: UUID,
    kind: str,
    who: str,
    now: datetime,
    detail: dict[str, Any] | None = None,
) -> None:
    """Remember that something happened to an alert."""
    values = {"alert_id": alert_id, "at": now, "kind": kind, "who": who, "detail": detail or {}}
    await connection.execute(insert(alert_events).values(values))


async def _move(
    connection: AsyncConnection,
    alert_id: UUID,
    states: Sequence[State],
    changes: dict[str, object],
    kind: str,
    who: str,
    now: datetime,
    detail: dict[str, Any] | None = None,
) -> bool:
    await one_at_a_time(connection)
    statement = (
        update(alerts)
        .where(alerts.c.id == alert_id, alerts.c.state.in_([state.value for state in states]))
        .values(changes)
    )
    if (await connection.execute(statement)).rowcount == 0:
        return False
    await note(connection, alert_id, kind, who, now, detail)
    return True


async def _alerts(engine: AsyncEngine, statement: Select[Any]) -> list[Alert]:
    async with engine.connect() as connection:
        return [read(row, Alert) for row in await connection.execute(statement)]


def read(row: Row[Any], kind: type[T]) -> T:
    """A row as a struct whose fields are named as its columns."""
    return msgspec.convert({name: getattr(row, name) for name in kind.__struct_fields__}, kind)
