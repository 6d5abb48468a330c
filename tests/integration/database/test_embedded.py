from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from guardrails.database.embedded import EmbeddedPostgres, start_embedded
from guardrails.database.url import libpq_url
from guardrails.errors import ConfigError

LAZY = {"fsync": "off"}

HOLDER = """
import sys
from pathlib import Path
from guardrails.database.embedded import start_embedded
server = start_embedded(Path(sys.argv[1]), options={"fsync": "off"})
print(server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A directory that the server's own user can reach; pytest's lie under one that it cannot."""
    directory = Path(tempfile.mkdtemp(prefix="banister-tests-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def copy_data() -> Iterator[Callable[[Path], Path]]:
    """A function that fills a data directory as a first start leaves it, in a tenth of its time."""
    directory = Path(tempfile.mkdtemp(prefix="banister-tests-"))
    start_embedded(directory, options=LAZY).stop()

    def copy(target: Path) -> Path:
        target.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", str(directory / "postgres"), str(target)], check=True)
        return target

    yield copy
    shutil.rmtree(directory)


@pytest.fixture
def data_dir(empty_dir: Path, copy_data: Callable[[Path], Path]) -> Path:
    """A data directory whose server has run before."""
    return copy_data(empty_dir)


class Holder:
    """Another process that uses a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Holder:
        return self

    def pid_of_server(self) -> int:
        return int(self.process.stdout.readline())

    def leave(self) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __exit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.communicate(timeout=60)


def ask(server: EmbeddedPostgres, query: str) -> tuple | None:
    with psycopg.connect(libpq_url(server.url), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone() if cursor.description else None


def gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_serves_and_leaves_nothing_behind_when_it_is_stopped(data_dir: Path) -> None:
    server = start_embedded(data_dir, options=LAZY)
    assert ask(server, "SELECT current_database(), current_setting('listen_addresses')") == (
        "banister",
        "",
    )
    version = ask(server, "SELECT current_setting('server_version_num')::int")
    assert version is not None
    assert version[0] >= 160_000
    ask(server, "CREATE TABLE kept AS SELECT 7 AS number")
    assert stat.S_IMODE(server.cluster.stat().st_mode) == 0o700
    server.stop()
    server.stop()
    assert gone(server.pid)
    again = start_embedded(data_dir, options=LAZY)
    assert ask(again, "SELECT number FROM kept") == (7,)
    again.stop()


def test_the_last_of_several_processes_stops_it(data_dir: Path) -> None:
    with Holder(data_dir) as first, Holder(data_dir) as second:
        pid = first.pid_of_server()
        assert second.pid_of_server() == pid
        first.leave()
        server = start_embedded(data_dir)
        assert server.pid == pid
        second.leave()
        assert ask(server, "SELECT 1") == (1,)
        server.stop()
        assert gone(pid)


def test_a_holder_that_was_killed_does_not_keep_it_running(data_dir: Path) -> None:
    with Holder(data_dir) as holder:
        pid = holder.pid_of_server()
        holder.kill()
    # It may still run, or be stopped at this moment: either way the next one gets a server.
    server = start_embedded(data_dir)
    assert ask(server, "SELECT 1") == (1,)
    server.stop()
    assert gone(pid) and gone(server.pid)


def test_a_server_that_was_killed_is_recovered_with_its_data(data_dir: Path) -> None:
    server = start_embedded(data_dir, options=LAZY)
    ask(server, "CREATE TABLE kept AS SELECT 7 AS number")
    # Its backend lives on for a moment and holds the dead server's memory.
    with closing(psycopg.connect(libpq_url(server.url))) as busy:
        busy.execute("SELECT 1")
        os.kill(server.pid, signal.SIGKILL)
        assert gone(server.pid)
        again = start_embedded(data_dir, options=LAZY)
        assert again.pid != server.pid
        assert ask(again, "SELECT number FROM kept") == (7,)
    server.stop()
    assert ask(again, "SELECT 1") == (1,)
    again.stop()
    assert gone(again.pid)


def test_a_pid_file_that_names_someone_else_is_no_server(data_dir: Path) -> None:
    server = start_embedded(data_dir, options=LAZY)
    stale = (server.cluster / "postmaster.pid").read_text().split("\n")
    server.stop()
    (server.cluster / "postmaster.pid").write_text("\n".join([str(os.getpid()), *stale[1:]]))
    again = start_embedded(data_dir, options=LAZY)
    assert ask(again, "SELECT 1") == (1,)
    again.stop()
    assert gone(again.pid)


@pytest.mark.slow
def test_a_server_that_answers_nobody_is_started_anew(data_dir: Path) -> None:
    server = start_embedded(data_dir, options=LAZY)
    os.kill(server.pid, signal.SIGSTOP)
    server._holder.close()
    again = start_embedded(data_dir, options=LAZY)
    assert again.pid != server.pid
    assert ask(again, "SELECT 1") == (1,)
    again.stop()


@pytest.mark.parametrize("name", ["a space, a comma, a quote'", "long-" + "x" * 200, "ünï"])
def test_it_serves_from_any_path(
    empty_dir: Path, copy_data: Callable[[Path], Path], name: str
) -> None:
    server = start_embedded(copy_data(empty_dir / name), options=LAZY)
    assert ask(server, "SELECT 1") == (1,)
    sockets = Path(psycopg.conninfo.conninfo_to_dict(libpq_url(server.url))["host"])
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert (sockets == server.cluster) == (name == "ünï")
    server.stop()
    if sockets != server.cluster:
        sockets.rmdir()


@pytest.mark.parametrize("name", ["$(id)", "`id`", '"', "back\\slash"])
def test_a_path_that_a_shell_would_read_is_refused(empty_dir: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="free of"):
        start_embedded(empty_dir / name)
    assert list(empty_dir.iterdir()) == []


def test_a_short_socket_path_that_another_user_made_is_refused(
    empty_dir: Path, copy_data: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(empty_dir))
    deep = copy_data(empty_dir / ("x" * 200))
    server = start_embedded(deep, options=LAZY)
    server.stop()
    [sockets] = empty_dir.glob("banister-*")
    sockets.chmod(0o777)
    with pytest.raises(ConfigError, match="private directory"):
        start_embedded(deep, options=LAZY)


def test_an_unfinished_first_start_is_begun_anew(empty_dir: Path) -> None:
    (empty_dir / ".postgres-unfinished").mkdir()
    (empty_dir / ".postgres-unfinished" / "PG_VERSION").write_text("18\n")
    server = start_embedded(empty_dir, options=LAZY)
    assert ask(server, "SELECT 1") == (1,)
    server.stop()


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with pytest.raises(ConfigError, match="no_such_setting"):
        start_embedded(data_dir, options={"no_such_setting": "1"}, start_seconds=0.5)
    server = start_embedded(data_dir, options=LAZY)
    server.stop()


def test_a_cluster_of_an_unknown_version_is_refused(empty_dir: Path) -> None:
    (empty_dir / "postgres").mkdir()
    (empty_dir / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigError, match="the wheel has 18, 16"):
        start_embedded(empty_dir)
