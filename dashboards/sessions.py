"""Who is logged in? A random token in a cookie, of which the table `sessions` holds the hash only.

A session ends SILENCE after the last look, LONGEST after the login, at logout, and when its user's
password is changed or its user disabled. Each login makes a new one, so none can be given before.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from dashboards.visitors import Visitor
from guardrails.exchange_log.people_tables import sessions, users

LONGEST = timedelta(days=7)
SILENCE = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=1)
MOST_CHARACTERS = 100

_c = sessions.c


async def begin(
    connection: AsyncConnection, user_id: UUID, now: datetime, address: str | None
) -> str:
    """A new session; its token is for the cookie and is stored nowhere."""
    token = secrets.token_urlsafe(32)
    await connection.execute(delete(sessions).where(_over(now)))
    await connection.execute(
        insert(sessions).values(
            digest=_digest(token),
            user_id=user_id,
            created_at=now,
            seen_at=now,
            expires_at=now + LONGEST,
            address=address,
        )
    )
    return token


async def visitor_of(engine: AsyncEngine, token: str, now: datetime) -> Visitor | None:
    """Who holds this token; None where there is no such session any more.

    Cost: one look-up by key; once a minute it also writes that the session is in use.
    """
    statement = (
        select(users.c.name, users.c.role, users.c.tenants, _c.seen_at)
        .join(users, users.c.id == _c.user_id)
        .where(_c.digest == _digest(token), ~_over(now), users.c.disabled_at.is_(None))
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        if now - row.seen_at >= SEEN_EVERY:
            seen = update(sessions).where(_c.digest == _digest(token)).values(seen_at=now)
            await connection.execute(seen)
    tenants = None if row.tenants is None else tuple(row.tenants)
    return Visitor(row.name, row.role, "session", tenants, seat=token)


async def end(connection: AsyncConnection, token: str) -> None:
    """Log out."""
    await connection.execute(delete(sessions).where(_c.digest == _digest(token)))


async def count_of(connection: AsyncConnection, now: datetime) -> dict[UUID, int]:
    """How many sessions each user has."""
    rows = await connection.execute(select(_c.user_id).where(~_over(now)))
    counts: dict[UUID, int] = {}
    for (user_id,) in rows:
        counts[user_id] = counts.get(user_id, 0) + 1
    return counts


def _over(now: datetime) -> ColumnElement[bool]:
    return (_c.expires_at <= now) | (_c.seen_at <= now - SILENCE)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token[:MOST_CHARACTERS].encode(errors="replace")).digest()
