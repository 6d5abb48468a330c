"""Where do our processes on one machine meet?"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

from guardrails.errors import ConfigError

SOCKET_PATH_BYTES = 107  # sun_path holds 108 with its closing zero


def inference_socket(data_dir: Path) -> Path:
    """The Unix socket of the inference worker that belongs to a data directory.

    Limits: a path over 107 bytes cannot be a socket; then it lies in a private directory under the
            temporary directory, named after the data directory.
    Errors: ConfigError where that directory belongs to somebody else.
    """
    path = data_dir.expanduser().absolute() / "inference.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"banister-{os.getuid()}-{name}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"{directory} must be a private directory of ours; remove it, or set "
            "BANISTER_DATA_DIR to a shorter path."
        )
    return directory / "inference.sock"


def answers(path: Path) -> bool:
    """Whether somebody listens on a Unix socket; a file left by a crash does not answer."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody holds at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int, setting: str) -> None:
    """Refuse a port that is taken, naming the setting that chooses another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} on {host} cannot be used ({error.strerror}). Stop what holds it, or "
                f"choose another: {setting}={free_port()}."
            ) from error
