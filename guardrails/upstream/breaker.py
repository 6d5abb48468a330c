"""When an endpoint is left alone: a circuit breaker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    """`closed` lets requests through, `open` none, `half_open` one, to see whether it is well."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens on failures in a row or on too great a share of failures; a probe closes it again.

    Each opening lasts twice as long as the one before, up to `longest_seconds`.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        failures_in_a_row: int = 5,
        failure_share: float = 0.5,
        window: int = 40,
        open_seconds: float = 2.0,
        longest_seconds: float = 60.0,
    ) -> None:
        self._now = now
        self._failures_in_a_row = failures_in_a_row
        self._failure_share = failure_share
        self._open_seconds = open_seconds
        self._longest_seconds = longest_seconds
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._in_a_row = 0
        self._openings = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """Where it stands now."""
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if self._now() < self._open_until else State.HALF_OPEN

    @property
    def wait_seconds(self) -> float:
        """How long until it lets a probe through."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._now())

    def allows(self) -> bool:
        """Whether a request may go through now. Cost: one comparison while closed."""
        if self._open_until is None:
            return True
        return not self._probing and self._now() >= self._open_until

    def begin(self) -> bool:
        """A request goes through; True when it is the probe, to be handed back as `probe`."""
        if self._open_until is None:
            return False
        self._probing = True
        return True

    def succeed(self, *, probe: bool = False) -> None:
        """An answer came. Of an open breaker only the probe's counts."""
        if self._open_until is not None:
            if not probe:
                return
            self._open_until = None
            self._probing = False
            self._openings = 0
            self._outcomes.clear()
        self._in_a_row = 0
        self._outcomes.append(True)

    def fail(self, *, probe: bool = False, doubtful: bool = False) -> None:
        """No answer came, or one that says that the endpoint is unwell.

        A `doubtful` failure, which the request itself may have caused, counts in the share alone.
        """
        if self._open_until is not None:
            if probe:
                self._probing = False
                self._open()
            return
        self._in_a_row += not doubtful
        self._outcomes.append(False)
        full = len(self._outcomes) == self._outcomes.maxlen
        failed = self._outcomes.count(False)
        if self._in_a_row >= self._failures_in_a_row or (
            full and failed >= self._failure_share * len(self._outcomes)
        ):
            self._open()

    def give_up(self, *, probe: bool = False) -> None:
        """The request ended without telling anything: the caller went away."""
        if probe:
            self._probing = False

    def _open(self) -> None:
        seconds = min(self._open_seconds * 2**self._openings, self._longest_seconds)
        self._openings = min(self._openings + 1, 16)
        self._open_until = self._now() + seconds
        self._outcomes.clear()
        self._in_a_row = 0
