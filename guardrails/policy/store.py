"""Which policy is in force: read at start and after each change, the last good one kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from msgspec import Struct

from guardrails.errors import ConfigError
from guardrails.policy.decide import Ruling
from guardrails.policy.model import Known, Policy, parse_policy, read_policy

logger = logging.getLogger(__name__)

RELOAD_SECONDS = 1.0


class Released(Struct, frozen=True):
    """The texts of the policies that were released; None: the file's."""

    enforce: str | None = None
    shadow: str | None = None


class PolicyStore:
    """Holds the ruling in force; `watch` exchanges it when a file has changed.

    A policy that was released takes the place of its file. One that is not valid is refused whole
    and `last_error` says why, while the last good one goes on. An exchange keeps the ruling that it
    began with. `on_new` is told the version, name and text of each policy that comes into force. A
    second policy, in `shadow`, is only recorded.
    """

    def __init__(
        self,
        path: Path,
        known: Known,
        on_new: Callable[[str, str, str], None] | None = None,
        *,
        shadow: Path | None = None,
    ) -> None:
        self._paths = [path] if shadow is None else [path, shadow]
        self._released = Released()
        self._known = known
        self._on_new = on_new
        self._seen = self._stamps()
        self._policies = self._read()
        self.current = self._take()
        self.last_error: str | None = None

    async def watch(self) -> None:
        """Look for a changed file every second, until cancelled."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            self.reload_if_changed()

    def reload_if_changed(self) -> bool:
        """Take over the file if it is new and valid; True when the policy in force changed."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        return self._renew()

    def release(self, released: Released) -> bool:
        """Take over what was released if it is new and valid; True when the policy changed."""
        if released == self._released:
            return False
        self._released = released
        return self._renew()

    def _renew(self) -> bool:
        try:
            policies = self._read()
        except ConfigError as error:
            self.last_error = error.message
            logger.error("policy refused, %s stays in force: %s", self.current.label, error)
            return False
        self.last_error = None
        before = [policy.label for policy in self._policies]
        if before == [policy.label for policy in policies]:
            return False
        self._policies = policies
        self.current = self._take()
        logger.warning("policy %s replaces %s", self.current.label, before[0])
        return True

    def _read(self) -> list[Policy]:
        released = (self._released.enforce, self._released.shadow)
        policies = []
        for text, path in zip_longest(released, self._paths):
            if text is not None:
                policies.append(parse_policy(text, self._known))
            elif path is not None:
                policies.append(read_policy(path, self._known))
        return policies

    def _take(self) -> Ruling:
        for policy in self._policies:
            if self._on_new is not None:
                self._on_new(policy.version, policy.name, policy.source)
        return Ruling(*self._policies)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
