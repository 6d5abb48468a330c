"""Which policy did people put in force from the dashboards, and how do proxies learn of it?

The newest release of each part holds until the next one: the policy that is enforced, and the one
in shadow beside it. One without a policy gives the part back to what the proxy is configured with.
"""

from __future__ import annotations

import psycopg

from guardrails.database.following import Following
from guardrails.errors import GuardUnavailable
from guardrails.policy.store import PolicyStore, Released

CHANNEL = "banister_policies"
POLL_SECONDS = 2.0
FIRST_LOAD_SECONDS = 5.0

_LATEST = """
SELECT DISTINCT ON (part) part, source
FROM policy_releases LEFT JOIN policies ON hash = policy_hash
ORDER BY part, id DESC
"""


class Releases:
    """Keeps a store at what was released last.

    A release comes by NOTIFY within milliseconds, and by a poll every 2 s should a notice be lost.
    While Postgres is away the ruling stays. Before the first load no exchange may begin: the policy
    of the file may be milder than what was released.
    """

    def __init__(self, url: str, store: PolicyStore) -> None:
        self._store = store
        self._following = Following(
            url,
            CHANNEL,
            self._load,
            what="policy releases",
            poll_seconds=POLL_SECONDS,
            first_seconds=FIRST_LOAD_SECONDS,
        )

    async def start(self) -> None:
        """Follow the releases; waits at most 5 s for the first load."""
        await self._following.start()

    async def stop(self) -> None:
        """Follow no longer."""
        await self._following.stop()

    @property
    def stale(self) -> bool:
        """Whether a release may have been missed."""
        return self._following.stale

    def admit(self) -> None:
        """Let an exchange begin. Errors: GuardUnavailable while it is not known what holds."""
        if not self._following.loaded:
            raise GuardUnavailable(
                "Which policy is in force cannot be read yet; try again.", retry_after_seconds=1
            )

    async def _load(self, connection: psycopg.AsyncConnection) -> None:
        rows = await (await connection.execute(_LATEST)).fetchall()
        self._store.release(Released(**dict(rows)))
