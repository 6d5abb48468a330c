"""No server of ours outlives those who use it, however they end: real processes, really killed."""

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
import pytest

from guardrails.database.embedded import start_embedded
from guardrails.database.warden import running

HOLD = (
    "import sys, time; from pathlib import Path; "
    "from guardrails.database.embedded import start_embedded; "
    "held = start_embedded(Path(sys.argv[1]), options={'fsync': 'off'}); "
    "print(held.pid, flush=True); time.sleep(600)"
)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # A short path, so that the server's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="banister-warden-") as name:
        yield Path(name)
        until(lambda: not on(Path(name)))


@pytest.fixture
def hold(data_dir: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started = []

    def start() -> subprocess.Popen[bytes]:
        command = (sys.executable, "-c", HOLD, str(data_dir))
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        started.append(holder)
        return holder

    yield start
    for holder in started:
        holder.kill()
        holder.communicate()


def pid_of(holder: subprocess.Popen[bytes]) -> int:
    assert holder.stdout is not None
    return int(holder.stdout.readline())


def on(data_dir: Path) -> list[list[str]]:
    """What the processes on a data directory were told, those of the test left out."""
    found = []
    for process in psutil.process_iter():
        try:
            told = process.cmdline()
            if process.status() != psutil.STATUS_ZOMBIE and str(data_dir) in " ".join(told):
                found.append(told)
        except psutil.Error:
            continue
    return found


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_server_ends_soon_after_its_only_holder_was_killed(hold, data_dir):
    holder = hold()
    server = pid_of(holder)
    assert running(data_dir / "postgres") == server
    os.killpg(holder.pid, signal.SIGKILL)
    until(lambda: not on(data_dir), 10)
    assert not (data_dir / "postgres" / "postmaster.pid").exists(), "it was stopped, not killed"


def test_the_server_stays_while_one_of_two_holders_lives(hold, data_dir):
    first, second = hold(), hold()
    server = pid_of(first)
    assert pid_of(second) == server
    first.kill()
    time.sleep(2)
    assert running(data_dir / "postgres") == server
    second.kill()
    until(lambda: not on(data_dir), 10)


def test_a_holder_that_is_killed_while_the_server_starts_leaves_none(hold, data_dir):
    holder = hold()
    until(lambda: any("initdb" not in " ".join(t) and "postgres" in t[0] for t in on(data_dir)))
    os.killpg(holder.pid, signal.SIGKILL)
    until(lambda: not on(data_dir), 20)


def test_after_an_orderly_stop_the_warden_is_gone_at_once(data_dir):
    held = start_embedded(data_dir, options={"fsync": "off"})
    assert any("warden.py" in " ".join(told) for told in on(data_dir))
    held.stop()
    assert on(data_dir) == []


def test_a_server_whose_warden_was_killed_gets_another_with_its_next_holder(hold, data_dir):
    first = hold()
    pid_of(first)
    os.kill(int((data_dir / "warden").read_text()), signal.SIGKILL)
    second = hold()
    pid_of(second)
    first.kill()
    second.kill()
    until(lambda: not on(data_dir), 10)
