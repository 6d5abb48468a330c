"""Who stops the embedded Postgres when everybody who held it was killed? This small process.

It is run as a file, by path, and imports nothing but the standard library: it lives as long as the
server does and costs some 8 MB. It belongs to nobody's session or process group, so whatever kills
the holders (a second Ctrl-C, `timeout`, kill -9) leaves it alone. Every half second it looks
whether anybody still holds the data directory; once nobody does it stops the server and ends.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO

LOOK_SECONDS = 0.5
# A server that was started a moment before its starter was killed may not have its pid file yet.
NOTHING_SECONDS = 5.0
# How one asks a postmaster to stop, ever less politely, and how long each may take.
WAYS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


def watch(data_dir: Path) -> None:
    """Watch until nobody holds `data_dir`, then stop its server."""
    cluster = data_dir / "postgres"
    seen = time.monotonic()
    with (data_dir / "turn").open("ab") as turn, (data_dir / "holders").open("ab") as holders:
        while time.monotonic() - seen < NOTHING_SECONDS:
            time.sleep(LOOK_SECONDS)
            if not _take(turn):
                # Somebody starts or stops the server at this moment.
                seen = time.monotonic()
                continue
            if not _take(holders):
                seen = time.monotonic()
            elif (pid := running(cluster)) is not None:
                _stop(pid, cluster)
                return
            fcntl.flock(holders, fcntl.LOCK_UN)
            fcntl.flock(turn, fcntl.LOCK_UN)


def running(cluster: Path) -> int | None:
    """The postmaster of a cluster, where the process of that id really is it."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        # Empty for one that has ended and was not waited for.
        told = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(cluster) in told else None


def _stop(pid: int, cluster: Path) -> None:
    for number, seconds in WAYS:
        os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if running(cluster) != pid:
                return
            time.sleep(0.05)


def _take(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(data_dir: Path) -> None:
    """Leave the starter behind, be the only warden of `data_dir`, and watch."""
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    with (data_dir / "warden").open("a+b") as mine:
        if _take(mine):
            mine.truncate(0)
            mine.write(b"%d" % os.getpid())
            mine.flush()
            watch(data_dir)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
