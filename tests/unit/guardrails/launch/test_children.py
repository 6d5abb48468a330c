"""Supervision, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from guardrails.launch.children import ChildFailed, Children, Program

FOREVER = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def children(said: list[str]) -> AsyncIterator[Children]:
    children = Children(said.append, backoff_seconds=(0.05,))
    yield children
    await children.stop()


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    def make(name: str, source: str = FOREVER, **more: object) -> Program:
        command = (sys.executable, "-c", source)
        return Program(name, command, tmp_path / f"{name}.log", **more)

    return make


def existing(path: Path) -> Callable[[], object]:
    async def ready() -> bool:
        return path.exists()

    return ready


async def until(true: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_start_returns_when_the_program_is_ready(children, program, tmp_path):
    mark = tmp_path / "ready"
    source = f"import pathlib, time; time.sleep(.3); pathlib.Path({str(mark)!r}).touch(); {FOREVER}"
    await children.start(program("server", source, ready=existing(mark)))
    assert mark.exists()
    assert lives(children.pids["server"])


async def test_start_fails_with_the_end_of_the_log_when_the_program_ends(children, program):
    with pytest.raises(ChildFailed, match=r"server ended with status 3.*\n +no such port"):
        await children.start(program("server", "import sys; print('no such port'); sys.exit(3)"))


async def test_start_fails_when_the_program_is_never_ready(children, program, tmp_path):
    late = program("server", ready=existing(tmp_path / "never"), start_seconds=0.3)
    with pytest.raises(ChildFailed, match="was not ready after"):
        await children.start(late)
    assert not lives(children.pids["server"])


async def test_run_waits_for_the_end_and_refuses_a_failure(children, program, tmp_path):
    mark = tmp_path / "done"
    await children.run(program("job", f"import pathlib; pathlib.Path({str(mark)!r}).touch()"))
    assert mark.exists()
    with pytest.raises(ChildFailed, match="job ended with status 1"):
        await children.run(program("job", "raise SystemExit(1)"))


async def test_a_program_that_crashes_is_started_again_and_named(children, program, said):
    await children.start(program("server"))
    first = children.pids["server"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: children.pids["server"] != first)
    assert "server was killed by SIGKILL; starting it again in 0.05 s." in said[0]
    assert lives(children.pids["server"])


async def test_higher_stages_are_stopped_before_lower_ones(children, program, tmp_path):
    record = tmp_path / "record"
    source = textwrap.dedent(f"""
        import pathlib, signal, sys, time
        def end(*_):
            with open({str(record)!r}, "a") as record:
                record.write(sys.argv[1] + "\\n")
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        pathlib.Path({str(tmp_path)!r}, sys.argv[1]).touch()
        time.sleep(60)
    """)
    for name, stage in (("database", 0), ("proxy", 2), ("model", 1)):
        command = (sys.executable, "-c", source, name)
        ready = existing(tmp_path / name)
        await children.start(Program(name, command, tmp_path / "log", ready=ready, stage=stage))
    await children.stop()
    assert record.read_text().split() == ["proxy", "model", "database"]


async def test_a_program_that_ignores_the_request_to_stop_is_killed(children, program):
    await children.start(program("server", STUBBORN, stop_seconds=0.2))
    pid = children.pids["server"]
    began = time.monotonic()
    await children.stop()
    assert time.monotonic() - began < 2
    assert not lives(pid)


async def test_what_a_program_left_behind_is_ended_with_it(children, program, tmp_path):
    mark = tmp_path / "grandchild"
    source = textwrap.dedent(f"""
        import os, pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", {FOREVER!r}])
        part = pathlib.Path({str(mark)!r} + ".part")
        part.write_text(str(child.pid))
        part.rename({str(mark)!r})
        time.sleep(60)
    """)
    await children.start(program("server", source, ready=existing(mark)))
    grandchild = int(mark.read_text())
    assert lives(grandchild)
    await children.stop()
    await until(lambda: not lives(grandchild))


async def test_children_end_when_their_parent_is_killed(tmp_path):
    source = textwrap.dedent(f"""
        import asyncio, pathlib, sys
        from guardrails.launch.children import Children, Program
        async def main():
            children = Children(print)
            command = (sys.executable, "-c", {FOREVER!r})
            await children.start(Program("server", command, pathlib.Path({str(tmp_path)!r}, "log")))
            print(children.pids["server"], flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert lives(child)
        parent.kill()
    await until(lambda: not lives(child))
