"""Which policy is in force: read at start and after each change, the last good one kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from guardrails.errors import ConfigError
from guardrails.policy.decide import Ruling
from guardrails.policy.model import Known, Policy, read_policy

logger = logging.getLogger(__name__)

RELOAD_SECONDS = 1.0


class PolicyStore:
    """Holds the ruling in force; `watch` exchanges it when the file has changed.

    A file that is not valid is refused whole and `last_error` says why, while the last good policy
    goes on. An exchange keeps the ruling that it began with. `on_new` is told the version, name and
    text of each policy that comes into force.
    """

    def __init__(
        self, path: Path, known: Known, on_new: Callable[[str, str, str], None] | None = None
    ) -> None:
        self._path = path
        self._known = known
        self._on_new = on_new
        self._seen = self._stamp()
        self.current = self._take(read_policy(path, known))
        self.last_error: str | None = None

    async def watch(self) -> None:
        """Look for a changed file every second, until cancelled."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            self.reload_if_changed()

    def reload_if_changed(self) -> bool:
        """Take over the file if it is new and valid; True when the policy in force changed."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            policy = read_policy(self._path, self._known)
        except ConfigError as error:
            self.last_error = error.message
            logger.error("policy refused, %s stays in force: %s", self.current.label, error)
            return False
        self.last_error = None
        if policy.label == self.current.label:
            return False
        logger.warning("policy %s replaces %s", policy.label, self.current.label)
        self.current = self._take(policy)
        return True

    def _take(self, policy: Policy) -> Ruling:
        if self._on_new is not None:
            self._on_new(policy.version, policy.name, policy.source)
        return Ruling(policy)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
