"""How bytes reach one endpoint and come back: HTTP/1.1 with kept-alive connections.

Our own because of its cost (docs/decisions/0003). It knows nothing of models or retries, with one
exception: a kept-alive connection that the server closed before it answered at all is replaced
once, since that is a race of HTTP itself and no failure of the endpoint.

Not supported, on purpose: HTTP/2, proxies, redirects (never followed), cookies, compression.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import httptools

from guardrails.errors import ConfigError, UpstreamError, UpstreamTimeout

MAX_HEADERS = 200
MAX_HEAD_BYTES = 64 * 1024
MAX_INFORMATIONAL = 8
HIGH_WATER_BYTES = 256 * 1024
LOW_WATER_BYTES = 64 * 1024
MAX_READ_BYTES = 64 * 2**20

_TARGET = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\x20-\x7e]*")
_FRAMING = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te"}
)


class _Stale(Exception):
    """A kept-alive connection went away before any byte of the answer."""


class Response:
    """One answer: its head, and its body as it arrives.

    Read it by `read()` or by iteration, from one task. Cancelling a task that waits for a part
    closes the connection.
    Limits: about `HIGH_WATER_BYTES` wait unread, then the endpoint is no longer read from; `read()`
    refuses more than `MAX_READ_BYTES`.
    """

    __slots__ = (
        "_buffered",
        "_chunks",
        "_collecting",
        "_connection",
        "_ended",
        "_error",
        "_waiter",
        "headers",
        "on_end",
        "paused",
        "status",
    )

    def __init__(self, connection: Connection, status: int, headers: list[tuple[bytes, bytes]]):
        self.status = status
        self.headers = headers
        self.on_end: Callable[[UpstreamError | UpstreamTimeout | None], None] | None = None
        self._connection: Connection | None = connection
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._collecting = False
        self.paused = False
        self._ended = False
        self._error: UpstreamError | UpstreamTimeout | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the wire is done with it: complete, broken or closed. Parts may still wait."""
        return self._ended

    @property
    def error(self) -> UpstreamError | UpstreamTimeout | None:
        """What broke it, if anything did."""
        return self._error

    async def read(self) -> bytes:
        """All of the body that was not read yet."""
        self._collecting = True
        if not self._ended:
            self._resume()
            self._check_size()
            while not self._ended:
                await self._wait()
        if self._error is not None:
            raise self._error
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        return body

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self.paused and self._buffered <= LOW_WATER_BYTES:
            self._resume()
        return chunk

    async def aclose(self) -> None:
        """Be done with it; an unfinished answer takes its connection along."""
        self.abort()

    def abort(self) -> None:
        """As `aclose`, for places that cannot wait."""
        connection = self._connection
        self.end(None)
        self._chunks.clear()
        if connection is not None:
            connection.discard()

    def feed(self, data: bytes) -> None:
        """Take a part from the connection."""
        self._chunks.append(data)
        self._buffered += len(data)
        if self._collecting:
            self._check_size()
            return
        if self._buffered > HIGH_WATER_BYTES and not self.paused and self._connection is not None:
            self.paused = True
            self._connection.pause()
        self._wake()

    def end(self, error: UpstreamError | UpstreamTimeout | None) -> None:
        """Nothing more will come; only the first call counts."""
        if self._ended:
            return
        self._ended = True
        self._error = error
        self._connection = None
        self._wake()
        if self.on_end is not None:
            self.on_end(error)

    def _check_size(self) -> None:
        if self._buffered > MAX_READ_BYTES and self._connection is not None:
            connection = self._connection
            self.end(UpstreamError("The upstream's answer is too large to be checked."))
            self._chunks.clear()
            connection.discard()

    def _resume(self) -> None:
        if self.paused and self._connection is not None:
            self.paused = False
            self._connection.resume()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None


class Connection(asyncio.Protocol):
    """One TCP or TLS connection, one exchange at a time.

    It has one timer for its whole life. The timer fires at the latest every shortest timeout and
    looks whether `_deadline` has passed, so that a request costs two assignments and no timer.
    """

    __slots__ = (
        "__weakref__",
        "_answered",
        "_complete",
        "_deadline",
        "_endpoint",
        "_fault",
        "_head_bytes",
        "_headers",
        "_informational",
        "_keep",
        "_parser",
        "_response",
        "_surplus",
        "_timer",
        "_transport",
        "_waiter",
        "closing",
        "counted",
        "uses",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf
        self._waiter: asyncio.Future[Response] | None = None
        self._response: Response | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._informational = 0
        self._answered = self._complete = self._keep = self._surplus = False
        self._fault: str | None = None
        self.closing = False
        self.counted = False
        self.uses = 0

    # What the endpoint asks of it.

    async def exchange(self, data: bytes) -> Response:
        """Send one request and wait for the head of its answer.

        Errors: `_Stale` when a used connection closed before any byte came; else UpstreamError,
        UpstreamTimeout.
        """
        transport = self._transport
        if self.closing or transport is None or transport.is_closing():
            self.discard()
            raise _Stale
        endpoint = self._endpoint
        self.uses += 1
        self._headers = []
        self._head_bytes = self._informational = 0
        self._answered = self._complete = self._keep = self._surplus = False
        self._fault = None
        self._response = None
        waiter = self._waiter = endpoint.loop.create_future()
        self._deadline = endpoint.loop.time() + endpoint.first_byte_seconds
        transport.write(data)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self.discard()
            elif waiter.exception() is None:
                # The head came in the same turn as the cancel; a whole answer has already given
                # the connection back.
                waiter.result().abort()
            raise

    def discard(self) -> None:
        """Close at once and give its place free."""
        self.closing = True
        self._deadline = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        if self.counted:
            self.counted = False
            self._endpoint.forget(self)

    def rest(self, seconds: float) -> None:
        """Stay open unused for at most so long."""
        self._deadline = self._endpoint.loop.time() + seconds

    def pause(self) -> None:
        """Read no further: the caller lags, so the endpoint's silence is not its fault."""
        self._deadline = math.inf
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.closing and self._transport is not None:
            self._deadline = self._endpoint.loop.time() + self._endpoint.idle_seconds
            self._transport.resume_reading()

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the timer runs from here to the end."""
        self._transport = transport  # type: ignore[assignment]
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._timer = self._endpoint.loop.call_later(self._endpoint.tick_seconds, self._tick)

    def data_received(self, data: bytes) -> None:
        """Parse; what comes when nothing was asked closes the connection."""
        if self.closing:
            return
        waiter = self._waiter
        if waiter is None and self._response is None:
            self.discard()
            return
        self._answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # After a complete answer the rest is surplus: the answer counts, the connection goes.
            if not self._complete:
                self.fail(UpstreamError(self._fault or "The upstream did not answer in HTTP."))
                return
            self._surplus = True
        if self._complete:
            self._finish()
            return
        if self._response is None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.fail(UpstreamError("The upstream's answer has too large a head."))
        elif self._deadline != math.inf:
            self._deadline = self._endpoint.loop.time() + self._endpoint.idle_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of a body without a length, or a failure."""
        response = self._response
        if response is not None and exc is None and self._runs_until_close():
            self._response = None
            response.end(None)
        elif response is not None:
            self.fail(UpstreamError("The upstream broke off in the middle of its answer."))
        elif self._waiter is not None and not self._waiter.done():
            if self.uses > 1 and not self._answered:
                self._waiter.set_exception(_Stale())
                self._waiter = None
            else:
                self.fail(UpstreamError("The upstream closed the connection without an answer."))
        self.discard()

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        """A second message behind the awaited one is surplus."""
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head; trailers are dropped."""
        if self._response is not None or self._complete:
            return
        self._headers.append((name.lower(), value))
        if len(self._headers) > MAX_HEADERS:
            self._fault = "The upstream's answer has too many headers."
            raise ValueError

    def on_headers_complete(self) -> None:
        """Hand the head to whoever waits."""
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._informational += 1
            if status == 101 or self._informational > MAX_INFORMATIONAL:
                self._fault = "The upstream answered with a protocol that was not asked for."
                raise ValueError
            return
        head_bytes = sum(len(name) + len(value) for name, value in self._headers)
        if head_bytes > MAX_HEAD_BYTES:
            self._fault = "The upstream's answer has too large a head."
            raise ValueError
        response = self._response = Response(self, status, self._headers)
        waiter, self._waiter = self._waiter, None
        self._deadline = self._endpoint.loop.time() + self._endpoint.idle_seconds
        if waiter is not None and not waiter.done():
            waiter.set_result(response)

    def on_body(self, data: bytes) -> None:
        """Pass a part on."""
        if self._response is not None and not self._complete:
            self._response.feed(data)

    def on_message_complete(self) -> None:
        """Mark the end; the connection is given back once the whole read was parsed."""
        if self._complete:
            return
        if self._response is None:  # an informational answer: the real one follows
            self._headers = []
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()

    # Its own.

    def _finish(self) -> None:
        response, self._response = self._response, None
        transport = self._transport
        reusable = (
            self._keep
            and not self._surplus
            and not self.closing
            and transport is not None
            and transport.get_write_buffer_size() == 0
        )
        if reusable:
            if response is not None and response.paused:
                transport.resume_reading()  # type: ignore[union-attr]
            self._endpoint.release(self)
        else:
            self.discard()
        if response is not None:
            response.end(None)

    def fail(self, error: UpstreamError | UpstreamTimeout) -> None:
        """Close, and tell whoever waits why."""
        response, self._response = self._response, None
        waiter, self._waiter = self._waiter, None
        self.discard()
        if response is not None:
            response.end(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _runs_until_close(self) -> bool:
        return not any(
            name == b"content-length" or name == b"transfer-encoding" for name, _ in self._headers
        )

    def _tick(self) -> None:
        endpoint = self._endpoint
        now = endpoint.loop.time()
        if now < self._deadline:
            delay = min(endpoint.tick_seconds, self._deadline - now)
            self._timer = endpoint.loop.call_later(max(delay, 0.001), self._tick)
            return
        self._timer = None
        if self._response is not None:
            self.fail(UpstreamTimeout("The upstream fell silent in the middle of its answer."))
        elif self._waiter is not None:
            self.fail(UpstreamTimeout("The upstream did not begin to answer in its time."))
        else:
            self.discard()


class Endpoint:
    """One server, its standing headers, its connections.

    Limits: at most `max_connections` at once; as many requests again may wait for one, each at most
    `connect_seconds`. Idle connections are reused last in, first out, and closed after
    `keep_alive_seconds`.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        connect_seconds: float = 3.0,
        first_byte_seconds: float = 120.0,
        idle_seconds: float = 60.0,
        keep_alive_seconds: float = 15.0,
        max_connections: int = 512,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"An upstream's url must be http:// or https:// with a host: {url!r}")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError("An upstream's url holds no user, password, query or fragment.")
        self.connect_seconds = connect_seconds
        self.first_byte_seconds = first_byte_seconds
        self.idle_seconds = idle_seconds
        self.keep_alive_seconds = keep_alive_seconds
        self.tick_seconds = min(first_byte_seconds, idle_seconds, keep_alive_seconds)
        self.max_connections = max_connections
        self._base = parts.path.rstrip("/")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = tls or ssl.create_default_context()
        self._lines = _header_lines(parts.netloc, headers or {})
        self._heads: dict[tuple[str, str, str], bytes] = {}
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._open = 0
        self._connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of its first request: an endpoint belongs to one loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    @property
    def connections(self) -> int:
        """How many are open or being opened."""
        return self._open

    @property
    def idle(self) -> int:
        """How many wait for a request."""
        return len(self._idle)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        accept: str = "application/json",
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> Response:
        """Send one request; returns once the head of the answer is here.

        `path` comes after the base URL, as `/chat/completions`. `headers` are the caller's own; one
        that the endpoint sets itself, or that would break the framing, is left out.
        Errors: UpstreamError before any part of the answer, UpstreamTimeout when its head did not
        come within `first_byte_seconds`.
        """
        head = self._heads.get((method, path, accept)) or self._head(method, path, accept)
        more = self._more_lines(headers) if headers else b""
        data = b"%b%d\r\n%b\r\n%b" % (head, len(body), more, body)
        connection = self._pop_idle() or await self._connect()
        try:
            return await connection.exchange(data)
        except _Stale:
            connection = await self._connect(fresh=True)
        try:
            return await connection.exchange(data)
        except _Stale as error:
            raise UpstreamError("The upstream closed the connection without an answer.") from error

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        for connection in list(self._connections):
            connection.fail(UpstreamError("The connection to the upstream was shut down."))

    # What its connections tell it.

    def release(self, connection: Connection) -> None:
        """A connection is free again: the longest waiter gets it, else it rests."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.rest(self.keep_alive_seconds)
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is closed: its place goes to the longest waiter."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_place()

    # Its own.

    def _free_place(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open -= 1

    def _pop_idle(self) -> Connection | None:
        return self._idle.pop() if self._idle else None

    async def _connect(self, *, fresh: bool = False) -> Connection:
        """A new connection, or one that a request just ended on; `fresh` prefers new to resting."""
        if self._open >= self.max_connections and fresh and self._idle:
            self._idle[0].discard()
        if self._open < self.max_connections:
            self._open += 1
        elif (connection := await self._wait_for_place()) is not None:
            return connection
        try:
            async with asyncio.timeout(self.connect_seconds):
                _, protocol = await self.loop.create_connection(
                    self._new_connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError as error:
            self._free_place()
            raise UpstreamError(
                "The upstream did not accept a connection in its time.", code="upstream_unreachable"
            ) from error
        except (OSError, ValueError) as error:
            self._free_place()
            raise UpstreamError(
                "The upstream cannot be reached; see its address and whether it runs.",
                code="upstream_unreachable",
            ) from error
        except BaseException:
            self._free_place()
            raise
        if protocol.closing:
            self._free_place()
            raise UpstreamError("The upstream closed the connection without an answer.")
        protocol.counted = True
        self._connections.add(protocol)
        return protocol

    def _new_connection(self) -> Connection:
        return Connection(self)

    async def _wait_for_place(self) -> Connection | None:
        if len(self._waiting) >= self.max_connections:
            raise _busy()
        waiter = self.loop.create_future()
        self._waiting.append(waiter)
        timer = self.loop.call_later(self.connect_seconds, _give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                connection = waiter.result()
                if connection is None:
                    self._free_place()
                else:
                    self.release(connection)
            raise
        finally:
            timer.cancel()
            if waiter in self._waiting:  # given up: the place in the queue is free again
                self._waiting.remove(waiter)

    def _more_lines(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        lines = []
        for name, value in headers:
            text = name.decode("latin-1").lower()
            sound = _TOKEN.fullmatch(text) and text not in _FRAMING and _VALUE.fullmatch(value)
            if sound and f"\r\n{text}:" not in f"\r\n{self._lines}":
                lines.append(b"%b: %b\r\n" % (text.encode(), value))
        return b"".join(lines)

    def _head(self, method: str, path: str, accept: str) -> bytes:
        if not _TARGET.fullmatch(path) or not _TOKEN.fullmatch(method):
            raise ValueError("not a request target")
        head = (
            f"{method} {self._base}{path} HTTP/1.1\r\n{self._lines}"
            f"accept: {accept}\r\ncontent-length: "
        ).encode("latin-1")
        if len(self._heads) < 64:
            self._heads[method, path, accept] = head
        return head


def _give_up(waiter: asyncio.Future[Connection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(_busy())


def _busy() -> UpstreamError:
    return UpstreamError(
        "All connections to the upstream are in use; try again later.",
        code="upstream_busy",
        status=503,
        retry_after_seconds=1,
    )


def _header_lines(host: str, headers: Mapping[str, str]) -> str:
    """The standing headers, refused where they would break the framing."""
    lines = {
        "host": host,
        "user-agent": "banister",
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING:
            raise ConfigError(f"An upstream's header cannot be set: {name!r}")
        if not value.isprintable() or not value.isascii():
            raise ConfigError(f"An upstream's header has a value that cannot be sent: {name!r}")
        lines[name.lower()] = value
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items())
