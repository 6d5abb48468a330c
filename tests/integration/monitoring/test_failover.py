"""Schedulers that are killed and frozen, as real processes on a real Postgres."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from guardrails.database.url import libpq_url
from monitoring.leader import SILENT_SECONDS
from monitoring.scheduler import POLL_SECONDS

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tests" / "integration" / "monitoring" / "scheduler_process.py"

Said = tuple[subprocess.Popen[str], str, float]


class Schedulers:
    """Some schedulers on one database, and what they say, in order."""

    def __init__(self, url: str, count: int, poll_seconds: float) -> None:
        self.said: queue.Queue[Said] = queue.Queue()
        self.processes = [self._start(url, poll_seconds) for _ in range(count)]

    def _start(self, url: str, poll_seconds: float) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), url, str(poll_seconds)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._hear, args=(process,), daemon=True).start()
        return process

    def _hear(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.said.put((process, line.strip(), time.monotonic()))

    def wait_for(self, word: str, *, times: int = 1, seconds: float = 60.0) -> Said:
        """The `times`-th next line that begins with a word."""
        deadline = time.monotonic() + seconds
        while True:
            said = self.said.get(timeout=max(0.01, deadline - time.monotonic()))
            if said[1].split()[0] == word:
                times -= 1
                if not times:
                    return said

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


Started = Callable[[int, float], Schedulers]


@pytest.fixture
def start(postgres_url: str) -> Iterator[Started]:
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        connection.execute("CREATE TABLE done (window_start timestamptz, process int)")
    made: list[Schedulers] = []

    def started(count: int, poll_seconds: float) -> Schedulers:
        made.append(Schedulers(postgres_url, count, poll_seconds))
        return made[-1]

    yield started
    for one in made:
        one.end()


def test_two_leaders_killed_at_work_in_turn_lose_no_run_and_double_none(
    postgres_url: str, start: Started
):
    schedulers = start(3, 0.5)
    schedulers.wait_for("done", times=2)
    for _ in range(2):
        leader, _, at = schedulers.wait_for("begins")
        leader.send_signal(signal.SIGKILL)
        leader.wait(10)
        next_leader, _, led_at = schedulers.wait_for("leads")
        assert next_leader is not leader
        assert led_at - at < 30
        schedulers.wait_for("done", times=2)
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        recorded = [
            row[0]
            for row in connection.execute(
                "SELECT window_start FROM monitor_runs WHERE status = 'OK' ORDER BY window_start"
            )
        ]
        done = connection.execute(
            "SELECT window_start, count(*), count(DISTINCT process) FROM done GROUP BY 1"
        ).fetchall()
        processes = connection.execute("SELECT count(DISTINCT process) FROM done").fetchone()
        timetable = connection.execute("SELECT id FROM apscheduler_jobs").fetchall()
    # Every second from the first to the last, each once: also those in which a leader was killed.
    second = timedelta(seconds=1)
    assert recorded == [recorded[0] + number * second for number in range(len(recorded))]
    assert [row for row in done if row[1] != 1] == []
    assert set(recorded) <= {row[0] for row in done}
    assert processes == (3,)
    assert timetable == [("ticking",)]


@pytest.mark.slow
def test_a_leader_that_hangs_is_replaced_within_half_a_minute(start: Started):
    schedulers = start(2, POLL_SECONDS)
    leader, _, _ = schedulers.wait_for("leads")
    schedulers.wait_for("done")
    # Between two windows, so that it does not take one of them along.
    leader.send_signal(signal.SIGSTOP)
    at = time.monotonic()
    assert SILENT_SECONDS + POLL_SECONDS < 30
    while True:
        taker, _, led_at = schedulers.wait_for("leads", seconds=40)
        if taker is not leader:
            break
    assert led_at - at < 30
    leader.send_signal(signal.SIGCONT)
