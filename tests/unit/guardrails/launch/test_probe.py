from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from guardrails.launch.addresses import free_port
from guardrails.launch.probe import status_of

Serve = Callable[[bytes | None], object]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A TCP server that says the given bytes to everybody; None: it stays silent."""
    async with AsyncExitStack() as stack:

        async def start(said: bytes | None) -> str:
            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readline()
                if said is None:
                    await reader.read()
                else:
                    writer.write(said)
                writer.close()

            server = await stack.enter_async_context(
                await asyncio.start_server(talk, "127.0.0.1", 0)
            )
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/readyz"

        yield start


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503),
        (b"220 mail.example ESMTP\r\n", None),
        (b"", None),
    ],
)
async def test_the_status_is_that_of_the_first_line(serve, said, status):
    assert await status_of(await serve(said)) == status


async def test_nobody_there_is_no_status():
    assert await status_of(f"http://127.0.0.1:{free_port()}/") is None


async def test_a_silent_server_is_no_status(serve):
    assert await status_of(await serve(None), timeout_seconds=0.1) is None
