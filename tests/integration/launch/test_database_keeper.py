from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from guardrails.database.url import libpq_url


@pytest.fixture
def keeper() -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The keeper of a new server, with the file that its URL is in."""
    with tempfile.TemporaryDirectory(prefix="banister-keeper-") as name:
        url_file = Path(name) / "database.url"
        command = (sys.executable, "-m", "guardrails.launch.database_keeper", name, str(url_file))
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until(url_file.exists, 60)
        yield process, url_file
        process.terminate()
        process.wait(20)


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def server_of(url_file: Path) -> psutil.Process:
    pid_file = url_file.parent / "postgres" / "postmaster.pid"
    return psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))


def test_the_server_answers_while_it_is_kept_and_ends_when_asked(keeper):
    process, url_file = keeper
    with psycopg.connect(libpq_url(url_file.read_text())) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server = server_of(url_file)
    process.terminate()
    assert process.wait(20) == 0
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    assert not url_file.exists()


def test_the_keeper_ends_when_the_server_dies(keeper):
    process, url_file = keeper
    os.kill(server_of(url_file).pid, signal.SIGKILL)
    assert process.wait(20) == 1
    assert not url_file.exists()
