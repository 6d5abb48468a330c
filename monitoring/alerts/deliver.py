"""How do written messages leave? At least once each, tried again until a channel takes them.

A row is locked while it is sent and marked before the lock goes: two monitors never send the same
one, and one that dies in between leaves it to be sent again. Its message id stands in the text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.alert_tables import alert_notifications
from monitoring.alerts.notify import Sent, send

AT_ONCE = 4
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=2)

Send = Callable[[str, str, str, str], Awaitable[Sent]]
"""Channel, subject, text and HTML; what became of it."""


class Delivered(Struct, frozen=True):
    """How many messages left, how many are tried again, and how many nobody will get."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0


async def by_apprise(channel: str, subject: str, body_text: str, body_html: str) -> Sent:
    """Send one message to one channel."""
    (sent,) = await send([channel], subject, body_text, body_html)
    return sent


async def deliver(
    engine: AsyncEngine,
    channels: Mapping[str, str],
    *,
    now: Callable[[], datetime],
    send: Send = by_apprise,
    at_once: int = AT_ONCE,
) -> Delivered:
    """Send whatever is due. `channels` gives the Apprise URL of each address.

    A message to a channel that is no longer configured is given up, and so is one that no attempt
    of two days got through; both stay on record with the reason.
    """
    outcomes: list[str] = []

    async def work() -> None:
        while outcome := await _one(engine, channels, now, send):
            outcomes.append(outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    counts = {name: outcomes.count(name) for name in Delivered.__struct_fields__}
    return Delivered(**counts)


async def _one(
    engine: AsyncEngine, channels: Mapping[str, str], now: Callable[[], datetime], send: Send
) -> str | None:
    table = alert_notifications.c
    statement = (
        select(alert_notifications)
        .where(table.sent_at.is_(None), table.given_up_at.is_(None), table.due_at <= now())
        .order_by(table.due_at, table.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        channel = channels.get(row.channel)
        if channel is None:
            sent = Sent(row.channel, False, "no such channel is configured any more")
        else:
            sent = await send(channel, row.subject, row.body_text, row.body_html)
        outcome, values = _became(row, sent, now(), gone=channel is None)
        await connection.execute(
            alert_notifications.update().where(table.id == row.id).values(values)
        )
    return outcome


def _became(row: Row[Any], sent: Sent, at: datetime, *, gone: bool) -> tuple[str, dict[str, Any]]:
    attempts = row.attempts + 1
    if sent.ok:
        return "sent", {"attempts": attempts, "sent_at": at, "error": None}
    if gone or at - row.made_at >= GIVE_UP_AFTER:
        return "given_up", {"attempts": attempts, "given_up_at": at, "error": sent.error}
    pause = min(FIRST_PAUSE * 2 ** min(row.attempts, 10), LONGEST_PAUSE)
    return "failed", {"attempts": attempts, "due_at": at + pause, "error": sent.error}
