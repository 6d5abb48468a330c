"""How often, and after how long, a request is sent once more."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 2.0
RETRY_AFTER_CAP_SECONDS = 5.0


class RetryBudget:
    """Keeps retries a share of all requests, so that a sick upstream is not drowned by them.

    Each request earns `share` of a retry and so does each second `per_second`; at most `most` are
    saved up.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        share: float = 0.2,
        per_second: float = 1.0,
        most: float = 20.0,
    ) -> None:
        self._now = now
        self._share = share
        self._per_second = per_second
        self._most = most
        self._saved = most
        self._at = now()

    def earn(self) -> None:
        """A request came in."""
        if self._saved < self._most:
            self._saved = min(self._most, self._saved + self._share)

    def spend(self) -> bool:
        """Take one retry; False when there is none."""
        now = self._now()
        self._saved = min(self._most, self._saved + (now - self._at) * self._per_second)
        self._at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def delay_seconds(retry: int, rng: random.Random) -> float:
    """How long to wait before retry number `retry` (from 0) of the same endpoint.

    Exponential with full jitter below the doubled value, never less than half of it.
    """
    longest = min(FIRST_DELAY_SECONDS * 2**retry, LONGEST_DELAY_SECONDS)
    return longest * (0.5 + rng.random() / 2)


def retry_after_seconds(headers: Sequence[tuple[bytes, bytes]]) -> float | None:
    """What the answer asks for, from `retry-after-ms` or `retry-after`.

    A date counts as longer than our cap: the caller is told, we do not wait for it.
    """
    found: float | None = None
    for name, value in headers:
        if name == b"retry-after-ms" and value.strip().isdigit():
            return int(value) / 1000
        if name == b"retry-after":
            text = value.strip()
            found = float(text) if text.isdigit() else 2 * RETRY_AFTER_CAP_SECONDS
    return found
