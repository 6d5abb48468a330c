"""Whose is a spool's directory, and how does a living process take over what a dead one left?

    spool/<id>/lock                    held by `flock` for as long as its owner lives
    spool/<id>/00000000000000000001.seg
    spool/damaged/                     bytes that were no record any more

Each process makes a directory of its own at its start and never writes into another's. The kernel
lets go of the lock whatever kills the process, so a lock that can be had means an orphan.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

LOCK = "lock"
DAMAGED = "damaged"


class Claim:
    """A spool's directory, ours until `release` or `remove`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.id = UUID(path.name)
        self.path = path
        self._lock: int | None = lock

    def release(self) -> None:
        """Leave the directory to whoever takes it next. Twice is fine."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Delete the directory with all that it holds, then let go."""
        # The lock goes last: until then nobody else may look in here.
        for path in [*self.path.glob("*.seg"), self.path / "probe", self.path / LOCK]:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()
        self.release()


def create(root: Path) -> Claim:
    """A new spool directory under `root`, on disk before this returns. Errors: OSError."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        path = root / str(uuid4())
        path.mkdir(mode=0o700)
        # Between these two lines another process may take it for an orphan, and remove it.
        lock = _locked(path, os.O_CREAT)
        if lock is not None:
            sync_directory(path)
            sync_directory(root)
            return Claim(path, lock)


def adopt(root: Path) -> list[Claim]:
    """Every spool under `root` whose owner is dead, now ours."""
    claims = []
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if not _is_spool(path):
            continue
        with suppress(OSError):
            lock = _locked(path)
            if lock is not None:
                claims.append(Claim(path, lock))
    return claims


def sync_directory(path: Path) -> None:
    """See that the names in a directory survive a loss of power."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _is_spool(path: Path) -> bool:
    try:
        return str(UUID(path.name)) == path.name
    except ValueError:
        return False


def _locked(path: Path, flags: int = 0) -> int | None:
    """The lock of a directory, or None where another holds it or has just removed it."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None
