"""The worker's Unix socket: for its owner only, one living worker, no stale file left behind."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from guardrails.errors import ConfigError

_BACKLOG = 128


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket; its file goes at the end. A dead worker's socket is replaced.

    Errors: ConfigError where another worker lives there, or the path will not do.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        _bind(listener, path)
        inode = path.stat().st_ino
        listener.listen(_BACKLOG)
        try:
            yield listener
        finally:
            # The file may be a successor's by now.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == inode:
                    path.unlink()
    finally:
        listener.close()


def _bind(listener: socket.socket, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_socket(path):
            _refuse_living(path)
            path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
    except OSError as error:
        raise ConfigError(
            f"The inference worker cannot listen on {path}: {error.strerror or error}."
            " Choose a short path in a directory that it may write to."
        ) from error


def _refuse_living(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
    raise ConfigError(f"Another inference worker already serves {path}.")


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except FileNotFoundError:
        return False
