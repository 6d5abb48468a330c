"""What a program costs: CPU time and memory of its process and all that it started, from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a whole tree. PSS counts a page that several processes share once in all."""

    rss_mb: float
    pss_mb: float


def total(parts: Iterable[Memory]) -> Memory:
    """The sum of some."""
    parts = list(parts)
    return Memory(sum(part.rss_mb for part in parts), sum(part.pss_mb for part in parts))


class Tree:
    """A process with its children."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def _all(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """User and system time so far, also of children that have ended."""
        total = 0.0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
        return total

    def memory(self) -> Memory:
        """How much it holds now."""
        return total(self.parts().values())

    def parts(self) -> dict[str, Memory]:
        """How much each of its processes holds now, by module or program, as `worker (2)`."""
        parts: dict[str, Memory] = {}
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                info = process.memory_full_info()
                name = unique = _title(process.cmdline())
                number = 1
                while unique in parts:
                    number += 1
                    unique = f"{name} ({number})"
                parts[unique] = Memory(info.rss / 2**20, info.pss / 2**20)
        return parts


def _title(command: Sequence[str]) -> str:
    """What a person would call a process: the module of `python -m`, else the program's name."""
    if "-m" in command:
        place = command.index("-m") + 1
        return " ".join(Path(part).name for part in command[place : place + 3])
    return Path(command[0]).name if command else "?"


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a session of its own; afterwards nothing of it is left."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def settle(tree: Tree, *, share: float = 0.05, most_seconds: float = 5.0) -> None:
    """Wait until a program is at rest, so that its neighbours are not measured with it."""
    limit = time.monotonic() + most_seconds
    before = tree.cpu_seconds()
    while time.monotonic() < limit:
        time.sleep(0.25)
        after = tree.cpu_seconds()
        if after - before <= share * 0.25:
            return
        before = after
