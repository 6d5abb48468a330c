"""What a program costs: CPU time and memory of its process and all that it started, from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a whole tree. PSS counts a page that several processes share once in all."""

    rss_mb: float
    pss_mb: float


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
        rss = pss = 0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                info = process.memory_full_info()
                rss += info.rss
                pss += info.pss
        return Memory(rss / 2**20, pss / 2**20)

    def memory_of(self, part: str) -> Memory:
        """Only those processes whose command line holds `part`."""
        rss = pss = 0
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if part in " ".join(process.cmdline()):
                    info = process.memory_full_info()
                    rss += info.rss
                    pss += info.pss
        return Memory(rss / 2**20, pss / 2**20)


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
