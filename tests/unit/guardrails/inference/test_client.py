"""The client against real servers on a Unix socket that misbehave; see also the integration."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from guardrails.errors import GuardUnavailable
from guardrails.inference.client import InferenceClient
from guardrails.inference.protocol import (
    MAX_FRAME_BYTES,
    Cancel,
    Describe,
    Described,
    FrameReader,
    Refused,
    Reply,
    Request,
    Score,
    Scored,
    Scores,
    decode_request,
    encode,
)

Answer = Callable[[Request], Reply | bytes | None]
Serve = Callable[[Answer], Awaitable[InferenceClient]]


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bc") as directory:
        yield Path(directory) / "s"


@pytest.fixture
async def serve(path: Path) -> AsyncIterator[Serve]:
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []
    client = InferenceClient(path)

    async def start(answer: Answer) -> InferenceClient:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            frames = FrameReader()
            while data := await reader.read(65_536):
                for body in frames.feed(data):
                    reply = answer(decode_request(body))
                    if reply is not None:
                        writer.write(reply if isinstance(reply, bytes) else encode(reply))
            writer.close()

        servers.append(await asyncio.start_unix_server(connected, path))
        return client

    yield start
    await client.close()
    for server in servers:
        server.close()
    await asyncio.sleep(0.01)


def echo(request: Request) -> Reply | None:
    """Scores each text with its number."""
    if isinstance(request, Score):
        rows = [[float(text)] for text in request.texts]
        return Scores(request.id, Scored(rows, [[None]] * len(rows)))
    return None


async def test_many_requests_at_once_each_get_their_own_answer(serve: Serve) -> None:
    client = await serve(echo)
    answers = await asyncio.gather(
        *(client.score("d", [str(n), str(n + 1)], timeout_seconds=5) for n in range(300))
    )
    assert [answer.scores for answer in answers] == [[[n], [n + 1]] for n in range(300)]


async def test_the_request_carries_its_deadline(serve: Serve) -> None:
    seen: list[Score] = []

    def note(request: Request) -> Reply | None:
        if isinstance(request, Score):
            seen.append(request)
        return echo(request)

    client = await serve(note)
    before = time.monotonic()
    await client.score("d", ["1"], timeout_seconds=3)
    assert before + 3 <= seen[0].expires_at <= time.monotonic() + 3


async def test_a_refusal_is_unavailable_with_its_reason(serve: Serve) -> None:
    client = await serve(lambda request: Refused(request.id, "The reason."))
    with pytest.raises(GuardUnavailable, match="The reason") as caught:
        await client.describe()
    assert caught.value.retry_after_seconds == 1


async def test_silence_ends_at_the_deadline_and_the_late_answer_is_ignored(serve: Serve) -> None:
    held: list[Request] = []

    def hold_first(request: Request) -> Reply | bytes | None:
        held.append(request)
        if len(held) == 1 or isinstance(request, Cancel):
            return None
        late, now = echo(held[0]), echo(request)
        assert late is not None and now is not None
        return encode(late) + encode(now)

    client = await serve(hold_first)
    started = time.monotonic()
    with pytest.raises(GuardUnavailable, match=r"within 0\.1 s"):
        await client.score("d", ["1"], timeout_seconds=0.1)
    assert time.monotonic() - started < 0.5
    assert (await client.score("d", ["2"], timeout_seconds=5)).scores == [[2.0]]
    assert Cancel(held[0].id) in held


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x02ab",
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        encode(Describe(1)),
    ],
)
async def test_garbage_fails_those_who_wait_and_the_next_connects_anew(
    serve: Serve, garbage: bytes
) -> None:
    count = 0

    def once(request: Request) -> Reply | bytes | None:
        nonlocal count
        count += 1
        return garbage if count == 1 else echo(request)

    client = await serve(once)
    with pytest.raises(GuardUnavailable, match="went away"):
        await client.score("d", ["1"], timeout_seconds=5)
    assert (await client.score("d", ["2"], timeout_seconds=5)).scores == [[2.0]]


async def test_an_answer_to_another_question_is_refused(serve: Serve) -> None:
    client = await serve(lambda request: Described(request.id, {}))
    with pytest.raises(GuardUnavailable, match="another question"):
        await client.score("d", ["1"], timeout_seconds=5)
    assert await client.describe() == {}


async def test_one_waiter_that_is_cancelled_does_not_cancel_the_connecting_of_others(
    serve: Serve,
) -> None:
    client = await serve(echo)
    first = asyncio.create_task(client.score("d", ["1"], timeout_seconds=5))
    second = asyncio.create_task(client.score("d", ["2"], timeout_seconds=5))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).scores == [[2.0]]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_without_a_worker_it_fails_at_once(path: Path) -> None:
    client = InferenceClient(path)
    started = time.monotonic()
    for _ in range(20):
        with pytest.raises(GuardUnavailable, match="not running"):
            await client.score("d", ["1"], timeout_seconds=30)
    assert time.monotonic() - started < 1
    await client.close()
