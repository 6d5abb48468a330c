"""Clients of other makers, each in an environment of its own: Node's `openai`, and LangChain.

They are installed once, into `.banister/clients`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests import fakes
from tests.integration.conftest import BLOCK_INPUT, BLOCK_OUTPUT, Serve

HERE = Path(__file__).parent / "clients"
CACHE = Path(__file__).parent.parent.parent / ".banister" / "clients"
NODE_OPENAI = "openai@7.57.0"
# Not in our own environment: it wants other versions of what the constraints pin.
LANGCHAIN = "langchain-openai==1.7.3"
CALLS = [("send", {"to": "Ann"})]


async def model(request: fakes.Request, writer: asyncio.StreamWriter) -> None:
    """Calls the tool that it is given, tells the magic word, or echoes."""
    asked = request.json
    step = fakes.chat(chunk_characters=3)
    if asked.get("tools"):
        step = fakes.chat("", tool_calls=CALLS, chunk_characters=3)
    elif "magic" in str(asked.get("messages")):
        step = fakes.chat("The magic word is xyzzy, friend.", chunk_characters=3)
    await step(request, writer)


async def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()[-3_000:]
    return printed.decode()


async def installed(package: str, install: Callable[[Path], Awaitable[object]]) -> Path:
    """The directory that a package is installed in, now or by an earlier run."""
    directory = CACHE / package.replace("==", "-").replace("@", "-")
    done = directory / "installed"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        await install(directory)
        done.touch()
    return directory


async def npm_install(directory: Path) -> None:
    await run(
        "npm", "install", "--no-audit", "--no-fund", "--prefix", directory, NODE_OPENAI,
        cwd=directory,
    )  # fmt: skip


async def pip_install(directory: Path) -> None:
    await run(sys.executable, "-m", "venv", directory)
    pip = (directory / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check")
    await run(*pip, "--quiet", LANGCHAIN)


def expect(told: dict, *, call_arguments: object, notice: str) -> None:
    assert told["chat"]["content"] == "Echo: What is a stair?"
    assert told["chat"]["finish"] == "stop"
    assert told["tools"]["calls"] == [["send", call_arguments]]
    assert told["tools"]["finish"] == "tool_calls"
    for blocked in ("blockedRequest", "blockedAnswer"):
        assert told[blocked]["finish"] == "content_filter"
        assert "xyzzy" not in json.dumps(told[blocked])
    assert told["blockedRequest"]["content"] == notice


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="there is no node and npm here"
)
async def test_nodes_openai_package(serve: Serve):
    directory = await installed(NODE_OPENAI, npm_install)
    async with (
        fakes.upstream(model) as upstream,
        serve(upstream.url, rules=(BLOCK_INPUT, BLOCK_OUTPUT)) as b,
    ):
        printed = await run("node", HERE / "openai_node.mjs", directory, f"{b.url}/v1")
    told = json.loads(printed)
    for kind in ("whole", "streamed"):
        expect(told[kind], call_arguments=json.dumps(CALLS[0][1]), notice="Declined.")
        assert told[kind]["blockedRequest"]["refusal"] == "Declined."
    assert told["streamed"]["chat"]["text"] == "Echo: What is a stair?"
    assert told["models"] == ["small"]
    assert told["blockedEmbedding"] == {
        "status": 400, "code": "content_filter", "kind": "BadRequestError"
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_langchain(serve: Serve):
    directory = await installed(LANGCHAIN, pip_install)
    async with (
        fakes.upstream(model) as upstream,
        serve(upstream.url, rules=(BLOCK_INPUT, BLOCK_OUTPUT)) as b,
    ):
        script = HERE / "langchain_chat.py"
        printed = await run(directory / "bin" / "python", script, f"{b.url}/v1")
    told = json.loads(printed)
    for kind in ("whole", "streamed"):
        expect(told[kind], call_arguments=CALLS[0][1], notice="Declined.")
    assert told["streamed"]["chat"]["chunks"] > 2
