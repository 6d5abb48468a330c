"""Real HTTP upstreams for tests: an OpenAI-compatible server on a free port, well or ill as told.

    async with fakes.upstream() as server:                       # answers like a model
    async with fakes.upstream(fakes.status(503), fakes.chat("Fine.")) as server:
        ...
        assert server.requests[0].json["model"] == "small"

A script is a list of steps, one for each request; the last step holds for all that follow. A step
is an async function `(request, writer)`; those below cover what upstreams do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Step = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]

_FIELDS = (
    "model messages stream stream_options n logprobs top_logprobs tools tool_choice temperature "
    "top_p max_tokens max_completion_tokens stop seed user response_format presence_penalty "
    "frequency_penalty logit_bias parallel_tool_calls prompt input encoding_format dimensions "
    "echo suffix best_of"
)
CHAT_FIELDS = frozenset(_FIELDS.split())


@dataclass
class Request:
    """What the server saw of one request, and what became of its answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    answered: bool = False
    _reader: asyncio.StreamReader | None = field(default=None, repr=False)
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def client_went_away(self) -> bool:
        """Whether the client closed its connection before the answer was complete."""
        if self.answered or self._reader is None or self._writer is None:
            return False
        gone = self._reader.at_eof() or self._reader.exception() is not None
        return gone or self._writer.transport.is_closing()

    async def wait_until_client_went_away(self, seconds: float = 2.0) -> bool:
        """Give the news some time to arrive."""
        async with asyncio.timeout(seconds):
            while not self.client_went_away:
                await asyncio.sleep(0.005)
        return True


@dataclass
class Upstream:
    """A running server."""

    url: str
    port: int
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0

    @property
    def last(self) -> Request:
        return self.requests[-1]

    async def wait_for_requests(self, count: int, seconds: float = 2.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.requests) < count:
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def upstream(
    *script: Step, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Upstream]:
    """A server that follows the script; without one it answers as a model does."""
    steps = list(script) or [chat()]
    handlers: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(handle(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        state.open_connections += 1
        number = state.connections
        try:
            while (request := await _read_request(reader, number)) is not None:
                request._reader, request._writer = reader, writer
                state.requests.append(request)
                step = steps[min(len(state.requests), len(steps)) - 1]
                await step(request, writer)
                if writer.transport.is_closing():
                    break
                await writer.drain()
                request.answered = True
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            state.open_connections -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls, limit=2**20)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if tls else "http"
    state = Upstream(url=f"{scheme}://127.0.0.1:{port}/v1", port=port)
    try:
        yield state
    finally:
        server.close()
        running = list(handlers)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


@contextlib.contextmanager
def refusing_url() -> Iterator[str]:
    """A url whose port is taken but where nobody listens: connections are refused."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/v1"


# Steps that answer as a model does.


def chat(
    text: str | None = None,
    *,
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
    reasoning: str | None = None,
    refusal: str | None = None,
    finish_reason: str | None = None,
    chunk_characters: int = 8,
    delay_seconds: float = 0.0,
    cut_bytes: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Step:
    """Chat, completions, embeddings and models, streamed when asked.

    Without `text` the last user message comes back behind `Echo: `. Fields that OpenAI does not
    know are echoed under `echo`. A stream carries `chunk_characters` an event, `delay_seconds`
    apart; `cut_bytes` cuts the wire into writes of that size wherever they fall.
    """

    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path.endswith("/models"):
            await _json(writer, {"object": "list", "data": [{"id": "small", "object": "model"}]})
            return
        asked = request.json
        unknown = {k: v for k, v in asked.items() if k not in CHAT_FIELDS}
        shared = {
            "id": f"chatcmpl-{len(request.body)}",
            "created": 1_700_000_000,
            "model": asked.get("model"),
            **({"echo": unknown} if unknown else {}),
            **(extra or {}),
        }
        if request.path.endswith("/embeddings"):
            await _json(writer, {**shared, **_embeddings(asked)})
        elif request.path.endswith("/chat/completions"):
            said = text if text is not None else f"Echo: {_last_user_text(asked)}"
            message = _Message(said, tool_calls, reasoning, refusal, finish_reason)
            if asked.get("stream"):
                events = _chat_events(shared, asked, message, chunk_characters)
                await _sse(writer, events, delay_seconds, cut_bytes)
            else:
                await asyncio.sleep(delay_seconds)
                await _json(writer, _chat_answer(shared, asked, message), cut_bytes=cut_bytes)
        elif request.path.endswith("/completions"):
            said = text if text is not None else f"Echo: {asked.get('prompt')}"
            if asked.get("stream"):
                events = _completion_events(shared, said, chunk_characters)
                await _sse(writer, events, delay_seconds, cut_bytes)
            else:
                choices = [
                    {"index": i, "text": said, "finish_reason": "stop", "logprobs": None}
                    for i in range(asked.get("n") or 1)
                ]
                answer = {**shared, "object": "text_completion", "choices": choices}
                await _json(writer, {**answer, "usage": _usage(said)})
        else:
            await status(404, {"error": {"message": "no such path", "code": None}})(request, writer)

    return step


def embeddings(size: int = 4) -> Step:
    """Vectors of `size` numbers that depend on the text."""

    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        await _json(writer, {"model": request.json["model"], **_embeddings(request.json, size)})

    return step


def sse(
    events: Sequence[str | bytes | Mapping[str, Any]],
    *,
    delay_seconds: float = 0.0,
    cut_bytes: int | None = None,
    done: bool = True,
) -> Step:
    """A stream of these very events: mappings as JSON, strings as `data:`, bytes as they are."""

    async def step(_: Request, writer: asyncio.StreamWriter) -> None:
        framed = [e if isinstance(e, bytes) else _data(e) for e in events]
        await _sse(
            writer, [*framed, *([b"data: [DONE]\n\n"] if done else [])], delay_seconds, cut_bytes
        )

    return step


def reply(answer: Any, *, headers: Mapping[str, str] | None = None) -> Step:
    """200 with this JSON."""

    async def step(_: Request, writer: asyncio.StreamWriter) -> None:
        await _json(writer, answer, headers=headers)

    return step


# Steps that go wrong.


def status(
    code: int, body: Any = None, *, retry_after: str | None = None, close: bool = False
) -> Step:
    """An error in OpenAI's envelope, or another body."""

    async def step(_: Request, writer: asyncio.StreamWriter) -> None:
        error = {"message": f"upstream says {code}", "type": "server_error", "code": None}
        headers = {} if retry_after is None else {"retry-after": retry_after}
        if close:
            headers["connection"] = "close"
        await _json(writer, body if body is not None else {"error": error}, code, headers=headers)
        if close:
            writer.close()

    return step


def raw(*parts: bytes, delay_seconds: float = 0.0, close: bool = True) -> Step:
    """These very bytes, one write a part; then the end, or silence."""

    async def step(_: Request, writer: asyncio.StreamWriter) -> None:
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(delay_seconds)
            writer.write(part)
            await writer.drain()
        if close:
            writer.close()

    return step


def garbage() -> Step:
    """Bytes that are no HTTP."""
    return raw(b"\x16\x03\x01\x02\x00 this is not HTTP \xff\xfe\r\n\r\n")


def silent_close() -> Step:
    """The connection closes with no byte of an answer."""
    return raw()


def reset(after: bytes = b"") -> Step:
    """A TCP reset, behind `after` where given."""

    async def step(_: Request, writer: asyncio.StreamWriter) -> None:
        if after:
            writer.write(after)
            await writer.drain()
            await asyncio.sleep(0.02)
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, 0 s: close() sends a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return step


def reset_mid_answer() -> Step:
    """A good head, half a body, then a reset."""
    return reset(_head(200, {"content-type": "application/json", "content-length": "100"}) + b"{")


def broken_stream(text: str = "Some words that") -> Step:
    """A stream that ends without its last chunk."""
    event = _data({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
    head = _head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    return raw(head + _chunk(event))


def wrong_length(by: int) -> Step:
    """A content-length that is too great (`by` > 0: the body ends early) or too small."""
    body = b'{"choices": []}'
    headers = {"content-type": "application/json", "content-length": str(len(body) + by)}
    return raw(_head(200, headers) + body)


def slow(seconds: float, then: Step | None = None) -> Step:
    """No byte for so long, then an answer."""

    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await (then or chat())(request, writer)

    return step


def stalls(text: str = "And then") -> Step:
    """A stream that begins and falls silent for good."""
    event = _data({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
    head = _head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    return _then_wait(head + _chunk(event))


def never_ends(text: str = "again ", *, delay_seconds: float = 0.005) -> Step:
    """A stream that goes on until the client leaves."""

    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(
            _head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        )
        event = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        while not request.client_went_away:
            writer.write(_chunk(_data(event)))
            await writer.drain()
            await asyncio.sleep(delay_seconds)
        writer.close()

    return step


def gzipped(answer: Any) -> Step:
    """A body compressed although nobody asked for that."""

    async def step(_: Request, writer: asyncio.StreamWriter) -> None:
        body = gzip.compress(json.dumps(answer).encode())
        headers = {
            "content-type": "application/json",
            "content-encoding": "gzip",
            "content-length": str(len(body)),
        }
        writer.write(_head(200, headers) + body)

    return step


def in_turn(*steps: Step) -> list[Step]:
    """For readability where a script is built elsewhere: `upstream(*in_turn(a, b))`."""
    return list(steps)


# How it is done.


@dataclass(frozen=True)
class _Message:
    text: str
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]]
    reasoning: str | None
    refusal: str | None
    finish_reason: str | None

    @property
    def finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    def tools(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call_{i}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for i, (name, arguments) in enumerate(self.tool_calls)
        ]


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, connection)


def _head(code: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {code} X\r\n{lines}\r\n".encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _data(event: str | Mapping[str, Any]) -> bytes:
    text = event if isinstance(event, str) else json.dumps(event)
    return b"data: " + text.encode() + b"\n\n"


async def _json(
    writer: asyncio.StreamWriter,
    answer: Any,
    code: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    cut_bytes: int | None = None,
) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    head = {"content-type": "application/json", "content-length": str(len(body))}
    await _write(writer, _head(code, {**head, **(headers or {})}) + body, cut_bytes)


async def _sse(
    writer: asyncio.StreamWriter,
    events: Sequence[bytes],
    delay_seconds: float,
    cut_bytes: int | None,
) -> None:
    writer.write(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
    for event in events:
        await _write(writer, _chunk(event), cut_bytes)
        if delay_seconds:
            await asyncio.sleep(delay_seconds)
    writer.write(b"0\r\n\r\n")


async def _write(writer: asyncio.StreamWriter, data: bytes, cut_bytes: int | None) -> None:
    size = cut_bytes or len(data)
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        if cut_bytes:
            # One turn of the loop, so that the kernel gets each piece by itself.
            await asyncio.sleep(0)
    await writer.drain()


def _then_wait(data: bytes) -> Step:
    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        while not request.client_went_away:
            await asyncio.sleep(0.005)
        writer.close()

    return step


def _last_user_text(asked: Mapping[str, Any]) -> str:
    for message in reversed(asked.get("messages") or []):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content or [])
    return ""


def _usage(text: str) -> dict[str, int]:
    tokens = len(text.split())
    return {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}


def _logprobs(text: str) -> dict[str, Any]:
    words = text.split()
    content = [{"token": w, "logprob": -0.1, "bytes": None, "top_logprobs": []} for w in words]
    return {"content": content, "refusal": None}


def _chat_answer(
    shared: Mapping[str, Any], asked: Mapping[str, Any], message: _Message
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "role": "assistant",
        "content": message.text,
        "refusal": message.refusal,
    }
    if message.tool_calls:
        said |= {"content": None, "tool_calls": message.tools()}
    if message.reasoning is not None:
        said["reasoning_content"] = message.reasoning
    choices = [
        {
            "index": i,
            "message": dict(said),
            "logprobs": _logprobs(message.text) if asked.get("logprobs") else None,
            "finish_reason": message.finish,
        }
        for i in range(asked.get("n") or 1)
    ]
    usage = _usage(message.text)
    return {**shared, "object": "chat.completion", "choices": choices, "usage": usage}


def _chat_events(
    shared: Mapping[str, Any], asked: Mapping[str, Any], message: _Message, size: int
) -> list[bytes]:
    events: list[bytes] = []

    def send(index: int, delta: dict[str, Any], finish: str | None = None, **more: Any) -> None:
        choice = {"index": index, "delta": delta, "finish_reason": finish, **more}
        events.append(_data({**shared, "object": "chat.completion.chunk", "choices": [choice]}))

    indexes = range(asked.get("n") or 1)
    for i in indexes:
        send(i, {"role": "assistant", "content": ""})
    for name, value in (("reasoning_content", message.reasoning), ("refusal", message.refusal)):
        for piece in _pieces(value or "", size):
            for i in indexes:
                send(i, {name: piece})
    for number, call in enumerate(message.tools()):
        arguments = call["function"]["arguments"]
        begun = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
        for i in indexes:
            send(i, {"tool_calls": [begun]})
        for piece in _pieces(arguments, size):
            for i in indexes:
                send(i, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    if not message.tool_calls:
        for piece in _pieces(message.text, size):
            more = {"logprobs": _logprobs(piece)} if asked.get("logprobs") else {}
            for i in indexes:
                send(i, {"content": piece}, **more)
    for i in indexes:
        send(i, {}, message.finish)
    if (asked.get("stream_options") or {}).get("include_usage"):
        usage = _usage(message.text)
        last = {**shared, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        events.append(_data(last))
    events.append(b"data: [DONE]\n\n")
    return events


def _completion_events(shared: Mapping[str, Any], text: str, size: int) -> list[bytes]:
    shared = {**shared, "object": "text_completion"}
    events = [
        _data({**shared, "choices": [{"index": 0, "text": piece, "finish_reason": None}]})
        for piece in _pieces(text, size)
    ]
    end = _data({**shared, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    return [*events, end, b"data: [DONE]\n\n"]


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _embeddings(asked: Mapping[str, Any], size: int = 4) -> dict[str, Any]:
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    data = [
        {"object": "embedding", "index": i, "embedding": _vector(str(text), size)}
        for i, text in enumerate(texts)
    ]
    tokens = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "usage": usage}


def _vector(text: str, size: int) -> list[float]:
    return [((sum(text.encode()) * (i + 3)) % 97) / 97 for i in range(size)]
