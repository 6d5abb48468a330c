"""One look at everything: rules → life cycle → who is told, in one transaction.

An advisory lock lets one look at a time, so two monitors decide one after the other and the second
finds nothing new. Messages are written beside the change that they tell; `deliver.py` sends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log.alert_tables import alert_groups, alert_notifications
from guardrails.exchange_log.alert_tables import alerts as table
from guardrails.exchange_log.tables import monitor_runs
from monitoring import runs
from monitoring.alerts import grouping, lifecycle, rules, wording
from monitoring.alerts.exchanges import hold_evidence, shown_by
from monitoring.alerts.grouping import Group, Message, Timing
from monitoring.alerts.lifecycle import Change
from monitoring.alerts.records import MONITOR, note, one_at_a_time, read, silences_of
from monitoring.alerts.rules import Seen, Signal, Standing
from monitoring.alerts.types import Alert, State

Jobs = Sequence[tuple[str, timedelta]]


class Told(Struct, frozen=True):
    """What one look led to: messages by kind, and how many alerts are open afterwards."""

    messages: tuple[Message, ...]
    open: int
    changes: int


class Channels(Struct, frozen=True):
    """Addresses (no secrets) of the channels, and where the dashboards are for people."""

    first: tuple[str, ...] = ()
    escalation: tuple[str, ...] = ()
    base_url: str | None = None


async def evaluate(
    engine: AsyncEngine, jobs: Jobs, channels: Channels, timing: Timing, now: datetime
) -> Told:
    """Look at every job's standing, change the alerts, and put what is to be told in writing."""
    seen = rules.seen(await standings(engine, jobs), now)
    seen = await _with_exchanges(engine, seen)
    async with engine.begin() as connection:
        await one_at_a_time(connection)
        groups = await _groups(connection)
        told = [alert_id for group in groups for alert_id in group.firing]
        known = await _alerts(connection, told)
        before = [alert for alert in known if alert.open]
        seen = await _without_closed(connection, seen)
        changes = lifecycle.advance(before, seen, now, uuid4)
        await _write(connection, changes, {alert.id: alert for alert in before}, now)
        alerts = [change.alert for change in changes] + [a for a in known if not a.open]
        silences = await silences_of(connection, now)
        plan = grouping.plan(alerts, groups, silences, now, timing)
        await _write_groups(connection, plan.groups)
        for message in plan.messages:
            await _write_message(connection, message, channels, now)
        for column, ids in (("told_at", plan.first_told), ("escalated_at", plan.escalated)):
            await connection.execute(
                table.update().where(table.c.id.in_(ids)).values({column: now})
            )
    return Told(
        plan.messages,
        sum(alert.open for alert in alerts),
        sum(bool(change.kinds) for change in changes),
    )


async def standings(engine: AsyncEngine, jobs: Jobs) -> list[Standing]:
    """Where every job stands, from its records."""
    latest = {run.job: run for run in await runs.latest_of_each(engine)}
    column = monitor_runs.c
    statement = select(
        column.job,
        func.max(column.window_end).filter(column.status.in_(["OK", "DRIFT"])).label("measured"),
    ).group_by(column.job)
    async with engine.connect() as connection:
        measured = {row.job: row.measured for row in await connection.execute(statement)}
        # A job that never ran is late once others have run for longer than its window.
        first = (await connection.execute(select(func.min(column.finished_at)))).scalar_one()
    return [
        Standing(name, every, latest.get(name), measured.get(name), first) for name, every in jobs
    ]


async def _with_exchanges(engine: AsyncEngine, seen: Seen) -> Seen:
    signals: list[Signal] = []
    for signal in seen.signals:
        ids = await shown_by(engine, signal)
        evidence = msgspec.structs.replace(
            signal.evidence,
            exchange_ids=ids,
            links=(*signal.evidence.links, *(f"/exchanges/{one}" for one in ids[:3])),
        )
        signals.append(msgspec.structs.replace(signal, evidence=evidence))
    return Seen(tuple(signals), seen.measured)


async def _without_closed(connection: AsyncConnection, seen: Seen) -> Seen:
    """Without what an alert that is closed told already: only a later run raises it again."""
    statement = (
        select(table.c.key, func.max(table.c.evidence["window_end"].as_string()))
        .where(
            table.c.key.in_([signal.key for signal in seen.signals]),
            table.c.state == State.RESOLVED.value,
        )
        .group_by(table.c.key)
    )
    closed = {
        key: datetime.fromisoformat(until)
        for key, until in await connection.execute(statement)
        if until is not None
    }
    fresh = (
        signal
        for signal in seen.signals
        if signal.key not in closed
        or signal.evidence.window_end is None
        or signal.evidence.window_end > closed[signal.key]
    )
    return Seen(tuple(fresh), seen.measured)


async def _alerts(connection: AsyncConnection, told: Sequence[UUID]) -> list[Alert]:
    statement = (
        select(table)
        .where(or_(table.c.state != State.RESOLVED.value, table.c.id.in_(told)))
        .order_by(table.c.started_at, table.c.id)
    )
    return [read(row, Alert) for row in await connection.execute(statement)]


async def _write(
    connection: AsyncConnection, changes: Sequence[Change], before: dict[UUID, Alert], now: datetime
) -> None:
    # Those that are new come first: others may be inhibited by them.
    for change in sorted(changes, key=lambda one: not one.is_new):
        was = before.get(change.alert.id)
        if was == change.alert:
            continue
        values = msgspec.to_builtins(change.alert, builtin_types=(datetime, UUID))
        values["evidence"] = msgspec.to_builtins(change.alert.evidence)
        by = values.pop("inhibited_by")
        statement = insert(table).values(values)
        statement = statement.on_conflict_do_update(
            index_elements=["id"], set_={name: statement.excluded[name] for name in values}
        )
        await connection.execute(statement)
        if was is not None or by is None:
            await _inhibit(connection, change.alert)
        held = was.evidence.exchange_ids if was is not None else ()
        await hold_evidence(connection, change.alert, held)
    for change in changes:
        if change.is_new and change.alert.inhibited_by is not None:
            await _inhibit(connection, change.alert)
        for kind in change.kinds:
            detail = {"by": str(change.alert.inhibited_by)} if kind == "inhibited" else {}
            await note(connection, change.alert.id, kind, MONITOR, now, detail)


async def _inhibit(connection: AsyncConnection, alert: Alert) -> None:
    await connection.execute(
        table.update().where(table.c.id == alert.id).values(inhibited_by=alert.inhibited_by)
    )


async def _groups(connection: AsyncConnection) -> list[Group]:
    statement = select(alert_groups).order_by(alert_groups.c.key)
    return [read(row, Group) for row in await connection.execute(statement)]


async def _write_groups(connection: AsyncConnection, groups: Sequence[Group]) -> None:
    await connection.execute(delete(alert_groups))
    if groups:
        rows = [msgspec.to_builtins(one, builtin_types=(datetime, UUID)) for one in groups]
        await connection.execute(insert(alert_groups), rows)


async def _write_message(
    connection: AsyncConnection, message: Message, channels: Channels, now: datetime
) -> None:
    """One row for each channel; an alert's history says that it was told, and where."""
    to = channels.escalation if message.kind == "escalation" else channels.first
    if message.escalated and message.kind != "escalation":
        to = tuple(dict.fromkeys((*to, *channels.escalation)))
    message_id = uuid4()
    rows = [
        {
            "message_id": message_id,
            "group_key": message.group,
            "kind": message.kind,
            "alert_ids": [alert.id for alert in message.alerts],
            "channel": channel,
            "subject": wording.subject(message),
            "body_text": wording.text(message, channels.base_url, message_id),
            "body_html": wording.html(message, channels.base_url, message_id),
            "made_at": now,
            "due_at": now,
        }
        for channel in to
    ]
    if rows:
        await connection.execute(insert(alert_notifications), rows)
    kind = "escalated" if message.kind == "escalation" else "told"
    for alert in (*message.firing, *message.resolved):
        detail = {"message": str(message_id), "kind": message.kind, "channels": list(to)}
        await note(connection, alert.id, kind, MONITOR, now, detail)
