"""Which versions serve, as Postgres has it: how does a proxy learn of every change in time?"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from guardrails.database.url import libpq_url
from guardrails.upstream.pool import Pool
from guardrails.upstream.split import Split

logger = logging.getLogger(__name__)

CHANNEL = "banister_rollouts"
POLL_SECONDS = 2.0
QUERY_SECONDS = 2.0
BACKOFF_SECONDS = (0.1, 1.0)
FIRST_LOAD_SECONDS = 5.0
STALE_SECONDS = 10.0

_LATEST = """
SELECT DISTINCT ON (model) id::text, model, champion, candidate, share
FROM rollouts ORDER BY model, started_at DESC, id DESC
"""
_TRAINED = """
SELECT model || '@' || version, template_hash FROM model_versions
WHERE kind = 'language_model' AND template_hash IS NOT NULL
"""


class Rollouts:
    """Keeps the pool at what the latest rollout of each model says.

    A change comes by NOTIFY within milliseconds, and by a poll every 2 s should a notice or the
    connection be lost. While Postgres is away the pool stays as it is; before the first load it
    serves nobody, so that no version is served that was rolled back.
    """

    def __init__(
        self,
        url: str,
        pool: Pool,
        *,
        poll_seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = libpq_url(url)
        self._pool = pool
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._splits: dict[str, Split] = {}
        self._loaded = asyncio.Event()
        self._loaded_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow the rollouts; waits at most 5 s for the first load."""
        self._task = asyncio.create_task(self._follow(), name="rollouts")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._loaded.wait(), FIRST_LOAD_SECONDS)

    async def stop(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @property
    def stale(self) -> bool:
        """Whether what the pool serves by was last read so long ago that it may have changed."""
        return not self._loaded.is_set() or self._clock() - self._loaded_at > STALE_SECONDS

    def status(self) -> dict[str, Any]:
        """What `/readyz` says of it."""
        return {
            "stale": self.stale,
            "models": {
                split.model: {
                    "champion": split.champion,
                    "candidate": split.candidate,
                    "share": split.share,
                }
                for split in self._splits.values()
            },
            "unserved": self._pool.unserved(),
        }

    async def _follow(self) -> None:
        delay, longest = BACKOFF_SECONDS
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=2,
                    application_name="banister rollouts",
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        await self._load(connection)
                        delay = BACKOFF_SECONDS[0]
                        async for _ in connection.notifies(
                            timeout=self._poll_seconds, stop_after=1
                        ):
                            pass
            except (psycopg.Error, OSError, TimeoutError) as error:
                logger.warning(
                    "rollouts cannot be read (%s); the last known versions keep serving",
                    type(error).__name__,
                )
                await asyncio.sleep(delay)
                delay = min(delay * 2, longest)

    async def _load(self, connection: psycopg.AsyncConnection) -> None:
        async with asyncio.timeout(QUERY_SECONDS):
            rows = await (await connection.execute(_LATEST)).fetchall()
            trained = await (await connection.execute(_TRAINED)).fetchall()
        splits = {row[1]: Split(*row) for row in rows}
        changed = splits != self._splits
        self._splits = splits
        self._pool.use(splits, dict(trained))
        self._loaded_at = self._clock()
        self._loaded.set()
        if changed and (unserved := self._pool.unserved()):
            logger.warning("no upstream here serves %s", ", ".join(unserved))
