"""A real proxy under load, a Postgres of its own, and the ways in which we harm them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from guardrails.database import migrate
from guardrails.database.embedded import EmbeddedPostgres, start_embedded
from guardrails.database.url import libpq_url

CHECKOUT = Path(__file__).parent.parent.parent
POLICY = """
name: faults
blocked_message: Declined.
rules:
  - id: block-in
    detector: patterns
    label: forbidden
    stage: [input]
    threshold: 0.5
    action: block
    on_error: block
"""
DETECTORS = {"patterns": {"words": {"forbidden": ["xyzzy"]}}}
UNANSWERED = (OSError, asyncio.IncompleteReadError, TimeoutError)


class Server:
    """A Postgres that can be killed, and started again with what it had."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: EmbeddedPostgres = start_embedded(directory)
        self._made = 0

    def database(self) -> str:
        """The URL of a fresh migrated database."""
        self._made += 1
        name = f"faults_{self._made}"
        with psycopg.connect(libpq_url(self._server.url), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = self._server.url.replace("/banister?", f"/{name}?")
        migrate(url)
        return url

    def kill(self, number: signal.Signals) -> None:
        """End it with SIGKILL (a crash), SIGQUIT (at once) or SIGINT (in order)."""
        os.kill(self._server.pid, number)
        deadline = time.monotonic() + 30
        while _lives(self._server.pid):
            assert time.monotonic() < deadline, "Postgres does not end"
            time.sleep(0.02)

    def start(self) -> None:
        """Start it again; it recovers by itself."""
        self._server.stop()
        self._server = start_embedded(self._directory)

    def stop(self) -> None:
        """End it for good, without the checkpoint that an end in order writes."""
        self.kill(signal.SIGQUIT)
        self._server.stop()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return status != "Z"


@dataclass
class Proxy:
    """A proxy process that is started, harmed and started again, on one port and one directory."""

    directory: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; it is ready a second later."""
        with (self.directory / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "guardrails.cli", "proxy", "--alone"],
                cwd=CHECKOUT,
                env=self.environment,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """SIGKILL: nothing of it gets to do anything more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def fill_disk(self) -> None:
        """From now on no file of it can grow, as on a full disk."""
        assert self.process is not None
        _, most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, most))

    def free_disk(self) -> None:
        """There is room again."""
        assert self.process is not None
        _, most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, most))

    def resident_mb(self) -> float:
        """What it holds of the machine's memory."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    async def ready(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until it answers; what `/readyz` says."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(*UNANSWERED):
                _, _, body = await ask(self.port, "GET", "/readyz", b"")
                return dict(json.loads(body))
            assert self.process is None or self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            await asyncio.sleep(0.05)

    async def written(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until all is in Postgres; the log's own counts."""
        deadline = time.monotonic() + seconds
        while True:
            log = (await self.ready())["log"]
            if not log["queued"] and not log["orphans"]:
                return dict(log)
            assert time.monotonic() < deadline, (log, self.log())
            await asyncio.sleep(0.1)

    def log(self) -> str:
        """The end of what it said."""
        return (self.directory / "output.txt").read_text(errors="replace")[-3000:]


def proxy(
    directory: Path, port: int, url: str, upstream: str, rules: str = "", **settings: Any
) -> Proxy:
    """A proxy with one pattern rule and further `rules`; `settings` as in `Settings`."""
    directory.mkdir(exist_ok=True)
    (directory / "policy.yaml").write_text(POLICY + rules)
    chosen = {
        "data_dir": directory,
        "database_url": url,
        "port": port,
        "policy": directory / "policy.yaml",
        "detectors": json.dumps(DETECTORS | settings.pop("detectors", {})),
        "upstreams": json.dumps([{"name": "u", "url": upstream, "model": "small"}]),
        "key_secret": "faults" * 8,
        **settings,
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BANISTER_")}
    ours = {f"BANISTER_{name.upper()}": str(value) for name, value in chosen.items()}
    return Proxy(directory, port, {**kept, **ours})


@dataclass
class Load:
    """Callers that ask and ask again, and remember which answers they had in full."""

    ports: list[int]
    rng: random.Random
    pad: int = 200
    answered: set[str] = field(default_factory=set)
    unrecorded: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    asked: int = 0
    _stopping: bool = False

    @contextlib.asynccontextmanager
    async def running(self, callers: int = 12) -> AsyncIterator[Load]:
        """Ask while the block runs."""
        self._stopping = False
        tasks = [asyncio.create_task(self._call()) for _ in range(callers)]
        try:
            yield self
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)

    async def until_answered(self, more: int, seconds: float = 60.0) -> None:
        """Wait for so many more answers."""
        goal, deadline = len(self.answered) + more, time.monotonic() + seconds
        while len(self.answered) < goal:
            assert time.monotonic() < deadline, (goal, len(self.answered), self.statuses)
            await asyncio.sleep(0.01)

    async def _call(self) -> None:
        while not self._stopping:
            self.asked += 1
            leaves = self.rng.random() < 0.04
            try:
                async with asyncio.timeout(0.01 if leaves else 30):
                    status, headers, body = await ask(
                        self.rng.choice(self.ports), "POST", "/v1/chat/completions", self._body()
                    )
            except UNANSWERED:
                await asyncio.sleep(0.02)
                continue
            self.statuses[status] += 1
            if b"log_unavailable" in body or (b"error" in body and status == 200):
                await asyncio.sleep(0.02)
            elif headers.get("x-guardrail-recorded") == "no":
                self.unrecorded.add(headers["x-request-id"])
            else:
                self.answered.add(headers["x-request-id"])

    def _body(self) -> bytes:
        dice = self.rng.random()
        if dice < 0.05:
            return b"{no json"
        text = "xyzzy" if dice < 0.15 else f"Is {dice} a number? " + "x" * self.pad
        stream = self.rng.random() < 0.3
        asked = {"model": "small", "messages": [{"role": "user", "content": text}]}
        return json.dumps({**asked, "stream": stream}).encode()


async def ask(port: int, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own; raises one of `UNANSWERED` if the answer broke off.

    A stream is whole when its `[DONE]` has come.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            b"%b %b HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (method.encode(), path.encode(), len(body), body)
        )
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
        if "content-length" in headers:
            answer = await reader.readexactly(int(headers["content-length"]))
        else:
            answer = await reader.readuntil(b"\r\n0\r\n\r\n")
            if b"data: [DONE]" not in answer and b"error" not in answer:
                raise ConnectionError("the stream broke off")
        return int(head[0].split()[1]), headers, answer
    finally:
        writer.close()
        with contextlib.suppress(*UNANSWERED):
            await writer.wait_closed()


def recorded(url: str) -> Counter[str]:
    """How often each exchange stands in the log."""
    with psycopg.connect(libpq_url(url)) as connection:
        return Counter(str(row[0]) for row in connection.execute("SELECT id FROM exchanges"))


def compare(url: str, load: Load, *, dropped: int = 0) -> None:
    """Every answered exchange is recorded once but the `dropped` ones, and no other is."""
    found = recorded(url)
    missing = (load.answered | load.unrecorded) - set(found)
    assert len(missing) <= dropped, (len(missing), sorted(missing)[:5], load.statuses)
    assert max(found.values(), default=0) <= 1
    assert len(found) <= load.asked
    assert load.statuses[200] > len(load.answered) / 2, load.statuses


class Wire:
    """A TCP port before a database's Unix socket, whose cable can be cut."""

    def __init__(self, url: str) -> None:
        parts = psycopg.conninfo.conninfo_to_dict(libpq_url(url))
        self._socket_path = f"{parts['host']}/.s.PGSQL.5432"
        self._user, self._name = parts.get("user") or "postgres", parts["dbname"]
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.down = self.deaf = False

    async def start(self) -> str:
        """Listen; the database's URL by this way."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://{self._user}@127.0.0.1:{port}/{self._name}?sslmode=disable"

    def cut(self) -> None:
        """Break every connection, and refuse new ones until `mend`."""
        self.down = True
        for writer in list(self._open):
            writer.transport.abort()

    def mend(self) -> None:
        """All is well again."""
        self.down = self.deaf = False

    async def stop(self) -> None:
        """Stop listening."""
        self.cut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.down:
            writer.transport.abort()
            return
        with contextlib.suppress(*UNANSWERED):
            there, back = await asyncio.open_unix_connection(self._socket_path)
            self._open |= {writer, back}
            await asyncio.gather(
                self._pass(reader, back, answers=False), self._pass(there, writer, answers=True)
            )
            self._open -= {writer, back}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(*UNANSWERED):
            while data := await reader.read(65536):
                # The statement has arrived and is carried out; that it was is never heard.
                if not (answers and self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.close()
