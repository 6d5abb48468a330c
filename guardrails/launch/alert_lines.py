"""Which alerts does the monitor tell of, for who watches `banister up`? Read from its log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

MARK = "ALERT "
EVERY_SECONDS = 1.0


async def follow(
    log: Path, say: Callable[[str], None], *, every_seconds: float = EVERY_SECONDS
) -> None:
    """Say each line of alert that the log gets from now on, until cancelled."""
    tail = _Tail(log)
    while True:
        await asyncio.sleep(every_seconds)
        for line in tail.lines():
            if MARK in line:
                say(MARK + line.partition(MARK)[2].strip())


class _Tail:
    """What a file gets after now; one that is not there yet, or begins anew, from its start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def lines(self) -> list[str]:
        """The whole lines that came since. Cost: one read of what is new."""
        if not self._path.exists():
            return []
        if self._path.stat().st_size < self._at:
            self._at, self._rest = 0, b""
        with self._path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return [line.decode(errors="replace") for line in lines]
