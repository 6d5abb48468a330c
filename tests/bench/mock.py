"""An upstream that costs next to nothing: `python -m tests.bench.mock --port N [--delay-ms N]`.

It answers every POST with a chat completion, or, when the body asks for a stream, with
`STREAM_CHUNKS` events: at once, or so many a second as the body's `"pace"` says, each with the
moment it left as `sent_at` (CLOCK_MONOTONIC). GET: a model list. It never parses JSON: what is
measured is the proxy.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import time
from typing import ClassVar

import uvloop

from tests.bench import texts

STREAM_CHUNKS = 200

_PACE = re.compile(rb'"pace":\s*(\d+)')
_PLACE = "@" * texts.MARK_LETTERS


def request_body(*, stream: bool, model: str = "mock") -> bytes:
    """A chat request of about sixty words."""
    content = texts.prompt(random.Random(1), texts.mark(0))
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


def _answer(body: bytes, content_type: bytes = b"application/json") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
        % (content_type, len(body))
        + body
    )


def _completion(content: str) -> tuple[bytes, bytes]:
    """A whole answer, cut at the word that makes each one different."""
    message = {"role": "assistant", "content": content}
    answer = {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "mock",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 200, "total_tokens": 260},
    }
    before, _, after = _answer(json.dumps(answer).encode()).partition(_PLACE.encode())
    return before, after


def _stream_deltas() -> list[dict[str, str]]:
    rng = random.Random(2)
    said = " ".join(texts.answer(rng, texts.mark(number)) for number in range(3)).split()
    return [*({"content": word + " "} for word in said[: STREAM_CHUNKS - 2]), {}]


STREAM_LENGTHS = [len(delta.get("content", "")) for delta in _stream_deltas()]
"""The characters of each chunk's text."""


def _stream_events() -> list[bytes]:
    shared = {
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "mock",
    }
    choices = [
        {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        for delta in _stream_deltas()
    ]
    return [json.dumps({**shared, "choices": [choice]}).encode() for choice in choices]


def _framed(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


_MODELS = json.dumps({"object": "list", "data": [{"id": "mock", "object": "model"}]}).encode()
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Mock(asyncio.Protocol):
    """One connection. Answers in order, also pipelined."""

    completions = itertools.cycle(
        [_completion(texts.answer(random.Random(seed), _PLACE)) for seed in range(64)]
    )
    numbers = itertools.count()
    models = _answer(_MODELS)
    events: ClassVar = _stream_events()
    chunks: ClassVar = [_framed(event) for event in (*events, b"[DONE]")]
    delay_seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what still streams."""
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(buffer) < end + 4 + length:
                break
            body, buffer = buffer[end + 4 : end + 4 + length], buffer[end + 4 + length :]
            self._respond(head, body)
        self._buffer = buffer

    def _respond(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get "):
            self._transport.write(self.models)
        elif b'"stream":true' in body or b'"stream": true' in body:
            if (pace := _PACE.search(body)) is not None:
                task = asyncio.get_running_loop().create_task(self._stream(int(pace[1])))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                # One write a chunk: the reader gets them in as many pieces as its speed allows.
                self._transport.write(_STREAM_HEAD)
                for chunk in self.chunks:
                    self._transport.write(chunk)
                self._transport.write(b"0\r\n\r\n")
        elif self.delay_seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self.delay_seconds, self._transport.write, self._completion())
        else:
            self._transport.write(self._completion())

    def _completion(self) -> bytes:
        before, after = next(self.completions)
        return b"%b%b%b" % (before, texts.mark(next(self.numbers)).encode(), after)

    async def _stream(self, pace: int) -> None:
        start = time.monotonic()
        self._transport.write(_STREAM_HEAD)
        for number, event in enumerate(self.events):
            await asyncio.sleep(start + number / pace - time.monotonic())
            self._transport.write(_framed(b'{"sent_at":%.6f,' % time.monotonic() + event[1:]))
        self._transport.write(_framed(b"[DONE]") + b"0\r\n\r\n")


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Mock, "127.0.0.1", port, backlog=4096, reuse_port=False
    )
    print("ready", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    Mock.delay_seconds = arguments.delay_ms / 1000
    uvloop.run(_serve(arguments.port))


if __name__ == "__main__":
    main()
