"""How does anybody know how the proxies are? Each writes it into a row of its own, again and again.

A page that asked each proxy would have to know them all and reach them all; so it needs only the
database that all share. A row that grows old is a process that hangs, or is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from guardrails.database.url import libpq_url

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 10.0
KEPT = "1 day"

_BEAT = """
INSERT INTO heartbeats (id, kind, name, started_at, seen_at, status)
VALUES (%s, %s, %s, %s, now(), %s)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, status = excluded.status
"""
_FORGET = f"DELETE FROM heartbeats WHERE seen_at < now() - interval '{KEPT}'"  # noqa: S608


class Heartbeat:
    """Tells how this process is, every PERIOD_SECONDS, until it is stopped; then takes it back.

    While Postgres is away it tells nothing, and the process does not care.
    """

    def __init__(
        self,
        url: str,
        kind: str,
        status: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._url = libpq_url(url)
        self._kind = kind
        self._status = status
        self._period_seconds = period_seconds
        self._id: UUID = uuid4()
        self._name = f"{socket.gethostname()} {os.getpid()}"
        self._started_at = datetime.now(UTC)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; nothing waits for it."""
        self._task = asyncio.create_task(self._beat(), name="heartbeat")

    async def stop(self) -> None:
        """Leave no row behind: a process that was stopped is not one that is missing."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        with suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(2), await self._connect() as connection:
                await connection.execute("DELETE FROM heartbeats WHERE id = %s", (self._id,))

    async def _beat(self) -> None:
        told = False
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(_FORGET)
                    while True:
                        status = Jsonb(dict(await self._status()))
                        row = (self._id, self._kind, self._name, self._started_at, status)
                        await connection.execute(_BEAT, row)
                        told = False
                        await asyncio.sleep(self._period_seconds)
            except (psycopg.Error, OSError) as error:
                if not told:
                    logger.warning("no heartbeat can be written (%s)", type(error).__name__)
                told = True
                await asyncio.sleep(self._period_seconds)

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="banister heartbeat"
        )
