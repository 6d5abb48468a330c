from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardrails.errors import ConfigError
from guardrails.inference.endpoint import listening


@pytest.fixture
def directory() -> Iterator[Path]:
    # pytest's own directories are too deep for a Unix socket's path.
    with tempfile.TemporaryDirectory(prefix="be") as directory:
        yield Path(directory)


def test_the_file_is_there_while_one_listens_and_only_for_its_owner(directory: Path) -> None:
    path = directory / "deeper" / "s"
    with listening(path):
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_stale_socket_is_replaced(directory: Path) -> None:
    path = directory / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_living_one_is_refused_and_keeps_its_file(directory: Path) -> None:
    path = directory / "s"
    with listening(path):
        with pytest.raises(ConfigError, match="already serves"), listening(path):
            pass
        assert path.exists()


def test_a_successors_file_is_left_alone(directory: Path) -> None:
    path = directory / "s"
    with socket.socket(socket.AF_UNIX) as successor:
        with listening(path):
            path.unlink()
            successor.bind(str(path))
        assert path.exists()


def test_what_is_not_a_socket_and_what_is_too_long_are_config_errors(directory: Path) -> None:
    (directory / "file").write_text("precious")
    for path in (directory / "file", directory / ("x" * 120), directory / "file" / "s"):
        with pytest.raises(ConfigError, match="cannot listen on"), listening(path):
            pass
    assert (directory / "file").read_text() == "precious"
