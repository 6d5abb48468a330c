"""How does the demo model answer as a full OpenAI endpoint would?

`transformers serve` does the serving. It has no embeddings, ignores `n`, refuses fields that it
does not know, never sends `[DONE]` and reports faults in a shape of its own (docs/operations.md has
the list). A thin layer in front of its application, in the same process, makes up for that; so an
SDK sees no difference, and the proxy needs no special case.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from guardrails.demo.completion import (
    VERSION,
    Request,
    merge_answers,
    merge_streams,
    read_request,
)
from guardrails.demo.embeddings import Embeddings
from guardrails.demo.model import EMBEDDINGS
from guardrails.errors import BadRequest, BanisterError, UpstreamError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

COMPLETIONS = {"/v1/chat/completions": "messages", "/v1/completions": "prompt"}
"""The paths that are made up for, and the field that each cannot do without."""


class DemoServer:
    """An ASGI application in front of that of `transformers serve`."""

    def __init__(
        self,
        inner: Asgi,
        model: str,
        embeddings: Embeddings | None = None,
        is_version: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_version` says whether a name is that of another version of the model."""
        self._is_version = is_version
        self._inner = inner
        self._model = model
        self._embeddings = embeddings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the completions ourselves and hand everything else through."""
        if scope["type"] == "http" and scope["path"] == "/v1/models":
            names = [self._model] if self._embeddings is None else [self._model, EMBEDDINGS]
            await _send_json(send, 200, _models(names))
            return
        if scope["type"] == "http" and scope["path"] == "/v1/embeddings" and self._embeddings:
            await self._embed(self._embeddings, receive, send)
            return
        if scope["type"] != "http" or scope["path"] not in COMPLETIONS:
            await self._inner(scope, receive, send)
            return
        try:
            body = await _body(receive)
            request = read_request(body, self._model, COMPLETIONS[scope["path"]], self._is_version)
            if request.stream:
                await self._stream(scope, request, receive, send)
            else:
                await self._answer(scope, request, send)
        except BanisterError as error:
            await _send_json(send, error.status, _envelope(error))

    async def _embed(self, embeddings: Embeddings, receive: Receive, send: Send) -> None:
        try:
            await _send_json(send, 200, await embeddings.answer(await _body(receive)))
        except BanisterError as error:
            await _send_json(send, error.status, _envelope(error))

    async def _answer(self, scope: Scope, request: Request, send: Send) -> None:
        parts = []
        for _ in range(request.choices):
            async with contextlib.aclosing(self._call(scope, request)) as chunks:
                parts.append(orjson.loads(b"".join([chunk async for chunk in chunks])))
        await _send_json(send, 200, merge_answers(parts, request.version or self._model))

    async def _stream(self, scope: Scope, request: Request, receive: Receive, send: Send) -> None:
        streams = (self._call(scope, request) for _ in range(request.choices))
        events = merge_streams(streams, request.version or self._model, usage=request.usage_wanted)
        gone = asyncio.create_task(_disconnect(receive))
        started = False
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    if gone.done():
                        return
                    if not started:
                        await send(_start(200, b"text/event-stream; charset=utf-8"))
                        started = True
                    data = b"data: " + event + b"\n\n"
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    async def _call(self, scope: Scope, request: Request) -> AsyncGenerator[bytes, None]:
        """The chunks of one answer of the inner application.

        Closing it before its end tells the inner application that the caller went away, which
        stops the generation. Errors: BadRequest and UpstreamError for statuses that are not 200.
        """
        messages: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue()
        closed = asyncio.Event()
        unread = True
        body = request.body

        async def receive() -> MutableMapping[str, Any]:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            await closed.wait()
            return {"type": "http.disconnect"}

        async def run() -> None:
            VERSION.set(request.version)
            try:
                await self._inner(_with_length(scope, body), receive, messages.put)
            finally:
                messages.put_nowait(None)

        task = asyncio.create_task(run())
        try:
            status = 500
            while (message := await messages.get()) is not None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                elif status == 200 and message.get("body"):
                    yield message["body"]
                elif status != 200:
                    raise _refusal(status, message.get("body", b""))
        finally:
            closed.set()
            with contextlib.suppress(Exception):
                # What the generation raised is on its way out already, as a status.
                await task


def _refusal(status: int, body: bytes) -> BanisterError:
    try:
        detail = str(orjson.loads(body)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        detail = "The demo model cannot serve this request; is each field of the right type?"
    if 400 <= status < 500:
        return BadRequest(detail, status=status)
    return UpstreamError(detail, status=status)


def _models(names: list[str]) -> dict[str, Any]:
    more = {"object": "model", "created": int(time.time()), "owned_by": "huggingface"}
    return {"object": "list", "data": [{"id": name, **more} for name in names]}


def _envelope(error: BanisterError) -> dict[str, Any]:
    fault = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return {"error": fault}


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The caller went away before the end of the body.")
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _with_length(scope: Scope, body: bytes) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*kept, (b"content-length", b"%d" % len(body))]}


def _start(status: int, content_type: bytes) -> dict[str, Any]:
    headers = [(b"content-type", content_type)]
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _send_json(send: Send, status: int, value: dict[str, Any]) -> None:
    body = orjson.dumps(value)
    start = _start(status, b"application/json")
    start["headers"].append((b"content-length", b"%d" % len(body)))
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
