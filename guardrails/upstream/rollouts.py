"""Which versions serve, as Postgres has it: how does a proxy learn of every change in time?"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import psycopg

from guardrails.database.following import Following
from guardrails.upstream.pool import Pool
from guardrails.upstream.split import Split

logger = logging.getLogger(__name__)

CHANNEL = "banister_rollouts"
POLL_SECONDS = 2.0
FIRST_LOAD_SECONDS = 5.0

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
        self._pool = pool
        self._splits: dict[str, Split] = {}
        self._following = Following(
            url,
            CHANNEL,
            self._load,
            what="rollouts",
            poll_seconds=poll_seconds,
            first_seconds=FIRST_LOAD_SECONDS,
            clock=clock,
        )

    async def start(self) -> None:
        """Follow the rollouts; waits at most 5 s for the first load."""
        await self._following.start()

    async def stop(self) -> None:
        """Follow no longer."""
        await self._following.stop()

    @property
    def stale(self) -> bool:
        """Whether what the pool serves by was last read so long ago that it may have changed."""
        return self._following.stale

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

    async def _load(self, connection: psycopg.AsyncConnection) -> None:
        rows = await (await connection.execute(_LATEST)).fetchall()
        trained = await (await connection.execute(_TRAINED)).fetchall()
        splits = {row[1]: Split(*row) for row in rows}
        changed = splits != self._splits
        self._splits = splits
        self._pool.use(splits, dict(trained))
        if changed and (unserved := self._pool.unserved()):
            logger.warning("no upstream here serves %s", ", ".join(unserved))
