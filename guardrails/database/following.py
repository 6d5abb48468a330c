"""How does a process keep what it knows of a few rows as Postgres has them?"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psycopg

from guardrails.database.url import libpq_url

logger = logging.getLogger(__name__)

MOST_SECONDS = 10
"""The longest that a connection or a load may take; less where polls are closer."""
FIRST_BACKOFF_SECONDS = 0.1
STALE_POLLS = 5

Load = Callable[[psycopg.AsyncConnection], Awaitable[None]]


class Following:
    """Calls `load` once, then after each notice on `channel`, within milliseconds.

    A poll every `poll_seconds` finds what a lost notice or connection hid. While Postgres is away
    nothing is loaded, what is known stays, and it is tried again after 0.1 s, then twice as long
    each time, up to half of `poll_seconds` or 5 s. `what` names it in the process's log.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        load: Load,
        *,
        what: str,
        poll_seconds: float,
        first_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = libpq_url(url)
        self._channel = channel
        self._load = load
        self._what = what
        self._poll_seconds = poll_seconds
        self._first_seconds = first_seconds
        self._clock = clock
        self._loaded = asyncio.Event()
        self._loaded_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        """Whether it was loaded at least once."""
        return self._loaded.is_set()

    @property
    def stale(self) -> bool:
        """Whether several polls have passed since it was loaded, so that it may have changed."""
        age = self._clock() - self._loaded_at
        return not self.loaded or age > STALE_POLLS * self._poll_seconds

    async def start(self) -> None:
        """Begin to follow; waits for the first load, at most `first_seconds`."""
        self._task = asyncio.create_task(self._follow(), name=f"follow {self._what}")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._loaded.wait(), self._first_seconds)

    async def stop(self) -> None:
        """Follow no longer; what is known stays."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _follow(self) -> None:
        longest = min(self._poll_seconds / 2, 5.0)
        most_seconds = max(2, min(int(self._poll_seconds), MOST_SECONDS))
        delay = FIRST_BACKOFF_SECONDS
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=most_seconds,
                    application_name=f"banister {self._what}",
                ) as connection:
                    await connection.execute(f"LISTEN {self._channel}")
                    while True:
                        await self._load_within(most_seconds, connection)
                        delay = FIRST_BACKOFF_SECONDS
                        async for _ in connection.notifies(
                            timeout=self._poll_seconds, stop_after=1
                        ):
                            pass
            except (psycopg.Error, OSError, TimeoutError) as error:
                logger.warning(
                    "%s cannot be read (%s); what is known stays in force",
                    self._what,
                    type(error).__name__,
                )
                await asyncio.sleep(delay)
                delay = min(delay * 2, longest)

    async def _load_within(self, seconds: float, connection: psycopg.AsyncConnection) -> None:
        async with asyncio.timeout(seconds):
            await self._load(connection)
        self._loaded_at = self._clock()
        self._loaded.set()
