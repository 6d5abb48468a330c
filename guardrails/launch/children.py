"""How does one process start others, keep them running, and leave none behind?

Each program runs in a session of its own, so that Ctrl-C reaches only us and we stop them in order.
The kernel sends SIGTERM to each when we die, whatever killed us, so none is ever orphaned.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guardrails.errors import BanisterError

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
HEALTHY_SECONDS = 60.0
SETTLED_SECONDS = 1.0
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]


class ChildFailed(BanisterError):
    """A program ended, or was not ready in time, when we started it."""

    code = "child_failed"


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, how to see that it is ready, and how long to wait for its end.

    `stage` orders the stop: a higher one is stopped before the lower ones that it needs. Without
    `ready` a program counts as ready when it has lived for a second. Without `log` it writes to
    where we write.
    """

    name: str
    command: Sequence[str]
    log: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] | None = None
    stage: int = 0
    start_seconds: float = 120.0
    stop_seconds: float = 4.0


@dataclass(slots=True)
class _Child:
    program: Program
    process: asyncio.subprocess.Process
    started: float
    keeper: asyncio.Task[None] | None = None


class Children:
    """Programs that we started: restarted when they crash, stopped stage by stage.

    `say` is told of each crash and restart, in a sentence.
    """

    def __init__(self, say: Say, *, backoff_seconds: Sequence[float] = BACKOFF_SECONDS) -> None:
        self._say = say
        self._backoff = backoff_seconds
        self._children: dict[str, _Child] = {}
        self._stopping = False

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each program that runs."""
        return {name: child.process.pid for name, child in self._children.items()}

    async def start(self, program: Program) -> None:
        """Run a program, return when it is ready, and keep it running from then on.

        Errors: ChildFailed with the end of its log, where it ends or is not ready in time.
        """
        child = _Child(program, await _spawn(program), time.monotonic())
        self._children[program.name] = child
        try:
            async with asyncio.timeout(program.start_seconds):
                await _until_ready(child)
        except TimeoutError:
            await _end(child.process, program.stop_seconds)
            raise ChildFailed(
                f"{program.name} was not ready after {program.start_seconds:.0f} s. "
                f"{_log_end(program.log)}"
            ) from None
        child.keeper = asyncio.create_task(self._keep(child), name=f"keep {program.name}")

    async def run(self, program: Program) -> None:
        """Run a program to its end; ChildFailed where that is not success."""
        child = _Child(program, await _spawn(program), time.monotonic())
        self._children[program.name] = child
        status = await child.process.wait()
        del self._children[program.name]
        if status:
            raise ChildFailed(f"{program.name} {_how(status)}. {_log_end(program.log)}")

    async def stop(self) -> None:
        """Stop all: the last stage first, the programs of one stage side by side."""
        self._stopping = True
        stages = {child.program.stage for child in self._children.values()}
        for stage in sorted(stages, reverse=True):
            names = [n for n, child in self._children.items() if child.program.stage == stage]
            await asyncio.gather(*map(self._stop_one, names))

    def kill(self) -> None:
        """End all at once, with what they started."""
        self._stopping = True
        for child in self._children.values():
            _kill_group(child.process.pid)

    async def _stop_one(self, name: str) -> None:
        child = self._children.pop(name)
        if child.keeper is not None:
            child.keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.keeper
        await _end(child.process, child.program.stop_seconds)

    async def _keep(self, child: _Child) -> None:
        program = child.program
        crashes = 0
        while True:
            status = await child.process.wait()
            if self._stopping:
                return
            _kill_group(child.process.pid)
            healthy = time.monotonic() - child.started > HEALTHY_SECONDS
            crashes = 1 if healthy else crashes + 1
            pause = self._backoff[min(crashes, len(self._backoff)) - 1]
            self._say(
                f"{program.name} {_how(status)}; starting it again in {pause:g} s."
                + (f" Its log: {program.log}" if program.log else "")
            )
            await asyncio.sleep(pause)
            child.process, child.started = await _spawn(program), time.monotonic()


def die_with_parent(parent: int, stop: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to signal this process when `parent` ends. Linux only; elsewhere nothing."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(stop), 0, 0, 0)
        if os.getppid() != parent:  # It died before we asked.
            os._exit(1)


# Looked up before any fork: between fork and exec as little as possible should happen.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


async def _spawn(program: Program) -> asyncio.subprocess.Process:
    parent = os.getpid()
    with contextlib.ExitStack() as stack:
        output = None
        if program.log is not None:
            program.log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(program.log.open("ab"))
        return await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **program.environment},
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )


async def _until_ready(child: _Child) -> None:
    program = child.program
    while True:
        if child.process.returncode is not None:
            raise ChildFailed(
                f"{program.name} {_how(child.process.returncode)}. {_log_end(program.log)}"
            )
        lived = time.monotonic() - child.started
        if await program.ready() if program.ready else lived > SETTLED_SECONDS:
            return
        await asyncio.sleep(0.1)


async def _end(process: asyncio.subprocess.Process, seconds: float) -> None:
    """SIGTERM, then SIGKILL to its whole group, which also takes what it left behind."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        pass
    finally:
        _kill_group(process.pid)
    await process.wait()


def _kill_group(pid: int) -> None:
    # The leader may be gone while its children live on under its group id.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _log_end(log: Path | None, lines: int = 15) -> str:
    if log is None:
        return ""
    try:
        end = log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        end = []
    return f"Its log ({log}) ends with:\n" + "\n".join(f"    {line}" for line in end)
