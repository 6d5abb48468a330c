"""The edge: one HTTP request in, one exchange through the pipeline, its answer out.

Raw ASGI, for this is the hot path: a framework's routing and models cost more than all seven steps
(docs/decisions/0006).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime
from types import ModuleType
from typing import Any

import orjson

from guardrails.access import Access
from guardrails.errors import BadRequest, BanisterError, GuardUnavailable, LogUnavailable
from guardrails.exchange_log.own_traffic import source_of
from guardrails.pipeline import Pipeline, failed
from guardrails.settings import RouteSettings
from guardrails.streams.guard import StreamGuard
from guardrails.tracing.tracer import Tracer
from guardrails.types import Exchange, strictest
from guardrails.upstream.split import HEADER as CONVERSATION
from guardrails.vault import Vault
from guardrails.wire import (
    chat,
    completions,
    count_tokens,
    embeddings,
    messages,
    moderations,
    responses,
    results,
    tgi,
    vertex,
)
from guardrails.wire.body import parse_body, require_model

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

WIRES = (chat, completions, embeddings, moderations, messages, count_tokens, responses, vertex, tgi)
_GUARD_STEPS = ("check_input", "ground", "format", "cite", "check_output")
_HELD_STEPS = ("cite", "check_output")
_WATCH_AFTER_SECONDS = 0.05


class Table:
    """Every path that is guarded, with its route and its protocol.

    The route `default` is served at `/v1/…`, any other at `/<route>/v1/…`.
    """

    def __init__(self, routes: Mapping[str, RouteSettings]) -> None:
        self._exact: dict[str, tuple[str, ModuleType]] = {}
        self._patterns: list[tuple[re.Pattern[str], tuple[str, ModuleType]]] = []
        for route in routes:
            prefix = "" if route == "default" else f"/{route}"
            for wire in WIRES:
                for path in getattr(wire, "PATHS", (f"/v1{wire.PATH}",)):
                    self._add(prefix + path, (route, wire))

    def _add(self, path: str, served: tuple[str, ModuleType]) -> None:
        if "{" not in path:
            self._exact[path] = served
            return
        parts = re.split(r"\{\w+\}", path)
        pattern = re.compile("[^/:]+".join(re.escape(part) for part in parts))
        self._patterns.append((pattern, served))

    def get(self, path: str) -> tuple[str, ModuleType] | None:
        """Who serves a path; None if it is not a guarded one."""
        found = self._exact.get(path)
        # Only a path with a colon can have a name in it, so the others cost nothing more.
        if found is None and ":" in path:
            found = next((served for p, served in self._patterns if p.fullmatch(path)), None)
        return found


def table(routes: Mapping[str, RouteSettings]) -> Table:
    """Every path that is guarded, with its route and its protocol."""
    return Table(routes)


class Proxy:
    """Serves the guarded paths. One instance lives as long as its process."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        access: Access,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        most_body_bytes: int,
        most_messages: int,
        most_answer_bytes: int,
        most_at_once: int,
        heartbeat_seconds: float,
        tracer: Tracer,
    ) -> None:
        self._pipeline = pipeline
        self._tracer = tracer
        self._access = access
        self._now = now
        self._new_id = new_id
        self._most_body_bytes = most_body_bytes
        self._most_messages = most_messages
        self._most_answer_bytes = most_answer_bytes
        self._most_at_once = most_at_once
        self._heartbeat_seconds = heartbeat_seconds
        self.in_flight = 0
        self.streams_open = 0

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, route: str, wire: ModuleType
    ) -> None:
        """Answer one request; whatever goes wrong is answered in the caller's protocol."""
        exchange = Exchange(
            id=self._new_id(),
            started_at=self._now(),
            protocol=wire.PROTOCOL,
            route=route,
            model="",
            stream=False,
            request={},
        )
        self.in_flight += 1
        began = time.perf_counter()
        try:
            exchange = await self._accept(exchange, scope, receive, wire)
        except LogUnavailable as error:
            await _respond(send, failed(exchange, error), wire)
            return
        except BanisterError as error:
            exchange = await self._pipeline.record(failed(exchange, error), began)
            await _respond(send, exchange, wire)
            return
        except _CallerGone:
            self._pipeline.abandon(exchange, began)
            return
        else:
            named = next((v for n, v in scope["headers"] if n == CONVERSATION), None)
            with _CancelWhenGone(receive):
                headers = _passed_on(scope, wire) + self._tracer.begin(
                    exchange.id, scope["headers"]
                )
                await self._run(exchange, send, wire, headers, named)
        finally:
            self.in_flight -= 1

    async def _accept(
        self, exchange: Exchange, scope: Scope, receive: Receive, wire: ModuleType
    ) -> Exchange:
        """Let the caller in and read what it wants."""
        exchange = self._pipeline.admit(exchange)
        if scope["method"] != "POST":
            raise BadRequest("Use POST here.", code="method_not_allowed", status=405)
        headers = dict(scope["headers"])
        caller = self._access.caller(headers, scope.get("client"), exchange.route)
        if self.in_flight > self._most_at_once:
            raise GuardUnavailable(
                "Too many requests are under way; try again.",
                code="overloaded",
                retry_after_seconds=1,
            )
        body = parse_body(await self._body(headers, receive))
        if wire is moderations:
            body = {"model": moderations.DEFAULT_MODEL, **body}
        path = scope["path"]
        if hasattr(wire, "model_of"):
            model = wire.model_of(path, body, self._pipeline.models)
        else:
            model = require_model(body)
        wire.check_request(body, most_messages=self._most_messages)
        wanted = (
            wire.asks_stream(path, body) if hasattr(wire, "asks_stream") else body.get("stream")
        )
        return exchange.evolve(
            caller=caller,
            model=model,
            stream=bool(wanted) and hasattr(wire, "Fold"),
            request=body,
            source_id=source_of(caller.tenant, headers),
        )

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._most_body_bytes:
            raise self._too_large()
        message = await receive()
        body = message.get("body", b"")
        if message.get("more_body"):
            chunks, size = [body], len(body)
            while message.get("more_body"):
                message = await receive()
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > self._most_body_bytes:
                    raise self._too_large()
            body = b"".join(chunks)
        if message["type"] == "http.disconnect":
            raise _CallerGone
        return body

    def _too_large(self) -> BadRequest:
        most = self._most_body_bytes
        message = f"The body is larger than {most} bytes, the most that is taken here."
        return BadRequest(message, code="request_too_large", status=413)

    async def _run(
        self,
        exchange: Exchange,
        send: Send,
        wire: ModuleType,
        headers: list[tuple[bytes, bytes]],
        named: bytes | None,
    ) -> None:
        if wire is moderations:
            await _respond(send, await self._pipeline.moderate(exchange, wire), wire)
            return
        if not exchange.stream:
            vault = Vault()
            exchange = await self._pipeline.run(
                exchange, wire, vault=vault, headers=headers, conversation=named
            )
            await _respond(send, exchange, wire, vault)
            return
        stream = StreamGuard(
            wire, _AsgiSink(send), self._most_answer_bytes, self._heartbeat_seconds
        )
        self.streams_open += 1
        try:
            await self._stream(exchange, send, wire, headers, named, stream)
        finally:
            self.streams_open -= 1
            await stream.close()

    async def _stream(
        self,
        exchange: Exchange,
        send: Send,
        wire: ModuleType,
        headers: list[tuple[bytes, bytes]],
        named: bytes | None,
        stream: StreamGuard,
    ) -> None:
        exchange = await self._pipeline.run(
            exchange, wire, stream, vault=stream.vault, headers=headers, conversation=named
        )
        if stream.started and exchange.failure is not None:
            await stream.fail(wire.failed(exchange))
        elif exchange.failure is not None or _is_error(exchange):
            await _respond(send, exchange, wire)
            return
        else:
            await stream.finish(exchange)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _passed_on(scope: Scope, wire: ModuleType) -> list[tuple[bytes, bytes]]:
    """The headers that belong to the protocol, as its version: the caller's, or their default."""
    wanted = getattr(wire, "HEADERS", None)
    if wanted is None:
        return []
    given = [header for header in scope["headers"] if header[0] in wanted]
    told = {name for name, _ in given}
    return given + [(n, value) for n, value in wanted.items() if value and n not in told]


class _CallerGone(Exception):
    """The caller hung up before its request was whole."""


class _CancelWhenGone:
    """Cancels the surrounding task when the caller hangs up, and swallows that cancellation.

    Most answers are quicker than a task is worth, so watching begins after a moment.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer = loop.call_later(_WATCH_AFTER_SECONDS, self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watcher = loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._task is not None:
            self._gone = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and kind is asyncio.CancelledError and self._task is not None:
            self._task.uncancel()
            return True
        return False


class _AsgiSink:
    """Sends a stream to the caller."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def start(self, exchange: Exchange) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *_headers(exchange),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    def write(self, data: bytes) -> Awaitable[None]:
        return self._send({"type": "http.response.body", "body": data, "more_body": True})


async def _respond(
    send: Send, exchange: Exchange, wire: ModuleType, vault: Vault | None = None
) -> None:
    """Send an answer that is not a stream."""
    headers = [(b"content-type", b"application/json"), *_headers(exchange)]
    failure = exchange.failure
    if failure is not None:
        status = failure.status
        answer: Any = exchange.answer or wire.failed(exchange)
        if failure.retry_after_seconds is not None:
            headers.append((b"retry-after", b"%d" % failure.retry_after_seconds))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
    else:
        answer = exchange.answer if exchange.answer is not None else exchange.completion
        status = 200
        if _is_error(exchange):
            # OpenAI's clients try a 4xx again unless they are told that it would be in vain.
            status = 400
            headers.append((b"x-should-retry", b"false"))
        elif vault and answer is not None:
            answer = vault.restored(answer, wire.outputs(answer)[0])
    body = orjson.dumps(answer)
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_error(exchange: Exchange) -> bool:
    """Whether a block is told as an error, as a route may want it and embeddings must."""
    return exchange.blocked and bool((exchange.answer or {}).get("error"))


def _headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """What every answer says of itself; see docs/headers.md."""
    seconds = exchange.seconds
    guarded = sum(seconds.get(step, 0.0) for step in _GUARD_STEPS)
    held = sum(seconds.get(step, 0.0) for step in _HELD_STEPS)
    decision = "error" if exchange.failure is not None else exchange.verdict.action.value
    headers = [
        (b"x-request-id", exchange.id.encode()),
        (b"x-guardrail-decision", decision.encode()),
        (b"x-guardrail-policy", exchange.policy_version.encode()),
        (b"x-guardrail-duration-ms", b"%.1f" % (guarded * 1e3)),
        (b"x-guardrail-held-ms", b"%.1f" % (held * 1e3)),
        (b"x-guardrail-uncovered", b"%d" % len(exchange.uncovered)),
    ]
    if advised := [r.advised for r in exchange.verdict.reasons if r.advised and not r.shadow]:
        headers.append((b"x-guardrail-advised", strictest(advised).encode()))
    if exchange.unrecorded:
        headers.append((b"x-guardrail-recorded", b"no"))
    if found := results.categories(exchange.verdict.reasons):
        headers.append((b"x-guardrail-categories", ",".join(found).encode()))
    return headers
