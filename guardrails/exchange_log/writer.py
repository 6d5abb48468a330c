"""How do exchanges come into Postgres without a request ever waiting for it?

    append ─▶ one line of JSON ─▶ queue ─▶ batch ─▶ one INSERT that unpacks it in SQL
              (event loop, µs)             (background task, one connection)

A later spool goes between `append` and the queue: both speak in lines.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.types.json import Jsonb

from guardrails.database_url import libpq_url
from guardrails.exchange_log.partitions import make_partitions
from guardrails.exchange_log.record import encode, mend
from guardrails.types import Exchange

logger = logging.getLogger(__name__)

BATCH_RECORDS = 1_000
BATCH_BYTES = 2**20
QUEUE_BYTES = 256 * 2**20
LINGER_SECONDS = 0.05
STATEMENT_SECONDS = 60.0
BACKOFF_SECONDS = (0.1, 5.0)
COMPLAINT_SECONDS = 10.0
PARTITIONS_RETRY_SECONDS = 600.0
MENDING_AT_ONCE = 1_000
POISON = ("21", "22", "23", "54")
"""Classes of SQLSTATE that blame the data; every other error blames the server, and is retried."""

INSERT = """
INSERT INTO exchanges (
    id, started_at, protocol, route, tenant, key_id, stream,
    gen_ai_operation_name, gen_ai_request_model, gen_ai_response_model,
    gen_ai_usage_input_tokens, gen_ai_usage_output_tokens, gen_ai_response_finish_reasons,
    decision, failure_code, failure_message, failure_status, abandoned,
    policy_version, template_hash, upstream, upstream_model, attempts, duration_seconds, seconds,
    request, prompt, completion, answer, inputs, outputs, passages, citations, checks, reasons,
    uncovered, bytes
)
SELECT
    id, started_at, protocol, route, caller->>'tenant', caller->>'key_id', stream,
    CASE protocol
        WHEN 'completions' THEN 'text_completion'
        WHEN 'responses' THEN 'chat'
        WHEN 'messages' THEN 'chat'
        WHEN 'vertex' THEN 'generate_content'
        ELSE protocol
    END,
    model, completion->>'model',
    (usage->>'input_tokens')::bigint, (usage->>'output_tokens')::bigint,
    coalesce(
        ARRAY(SELECT jsonb_array_elements_text(
            jsonb_path_query_array(completion, 'lax $.choices[*].finish_reason ? (@ != null)'))),
        '{}'
    ) || CASE WHEN completion->>'stop_reason' IS NULL THEN '{}'
         ELSE ARRAY[completion->>'stop_reason'] END,
    verdict->>'action', failure->>'code', failure->>'message', (failure->>'status')::integer,
    abandoned, policy_version, template_hash, upstream, upstream_model, attempts,
    coalesce(
        (seconds->>'total')::float8,
        (SELECT sum(value::float8) FROM jsonb_each_text(seconds))
    ),
    seconds, request, prompt, completion, answer, inputs, outputs, passages, citations, checks,
    verdict->'reasons', uncovered, bytes
FROM jsonb_to_recordset(%s) AS record (
    id uuid, started_at timestamptz, protocol text, route text, model text, stream boolean,
    request jsonb, caller jsonb, policy_version text, template_hash text, inputs jsonb,
    outputs jsonb, passages jsonb, citations jsonb, prompt jsonb, completion jsonb, answer jsonb,
    usage jsonb, checks jsonb, verdict jsonb, uncovered jsonb, upstream text, upstream_model text,
    attempts integer, seconds jsonb, failure jsonb, abandoned boolean, bytes integer
)
ON CONFLICT DO NOTHING
"""
REJECT = """
INSERT INTO rejected_records (sha256, error, record) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""


class Stats(Struct, frozen=True):
    """What the log has done since its start; `lag_seconds` is the age of the oldest unwritten.

    `dropped` records are lost, and `rejected` ones stand in `rejected_records` with their error.
    `mended` ones had something that Postgres cannot hold, or were too long.
    """

    queued: int
    written: int
    dropped: int
    rejected: int
    mended: int
    lag_seconds: float
    last_error: str | None


class ExchangeLog:
    """Takes exchanges at once and writes them to Postgres in batches.

    While Postgres is away it keeps up to `queue_records` records (and `queue_bytes`), then drops
    the newest and says so, in `stats` and in the process's log. Idempotent by the exchange's id.
    """

    def __init__(self, url: str, queue_records: int, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self._url = libpq_url(url)
        self._queue_records = queue_records
        self._queue_bytes = queue_bytes
        self._queue: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._mending: set[asyncio.Task[None]] = set()
        self._batch: list[tuple[float, bytes]] = []
        self._known: dict[tuple[str, str], tuple[str, str]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._connection: psycopg.AsyncConnection | None = None
        self._written = self._dropped = self._rejected = self._mended = 0
        self._last_error: str | None = None
        self._complained_at = float("-inf")
        self._partitions_made_on: date | None = None
        self._partitions_due_at = float("-inf")

    @property
    def stats(self) -> Stats:
        """The counts as they stand now. Cost: a microsecond."""
        oldest = self._batch or self._queue
        return Stats(
            queued=self._waiting,
            written=self._written,
            dropped=self._dropped,
            rejected=self._rejected,
            mended=self._mended,
            lag_seconds=time.monotonic() - oldest[0][0] if oldest else 0.0,
            last_error=self._last_error,
        )

    @property
    def _waiting(self) -> int:
        return len(self._queue) + len(self._batch) + len(self._mending)

    async def start(self) -> None:
        """Begin to write. Postgres may still be away: it is tried until it comes."""
        self._stopping = False
        self._task = asyncio.create_task(self._write_until_stopped(), name="exchange-log")

    def append(self, exchange: Exchange) -> bool:
        """Take one exchange; False when it was dropped because too many are waiting.

        Cost: one encoding, about 10 µs for a chat of some kilobytes; never waits.
        """
        if self._waiting >= self._queue_records or self._bytes >= self._queue_bytes:
            self._drop(1)
            return False
        line = encode(exchange)
        if line is None:
            if len(self._mending) >= MENDING_AT_ONCE:
                self._drop(1)
                return False
            task = asyncio.create_task(self._mend(exchange))
            self._mending.add(task)
            task.add_done_callback(self._mending.discard)
        else:
            self._put(line)
        return True

    async def stop(self, drain_seconds: float = 10.0) -> None:
        """Write what is waiting, for at most `drain_seconds`; what then remains is dropped."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, drain_seconds)
            self._task = None
        for task in self._mending:
            task.cancel()
        if self._waiting:
            self._complained_at = float("-inf")
            self._drop(self._waiting)
            self._queue.clear()
            self._batch = []
            self._bytes = 0
        await self._disconnect()

    def remember_policy(self, version: str, name: str, source: str) -> None:
        """See that `policies` has this policy's text, so that each version can be read later."""
        self._known["policies", version] = (name, source)
        self._wake.set()

    def remember_template(self, template_hash: str, name: str, source: str) -> None:
        """See that `templates` has this template's text."""
        self._known["templates", template_hash] = (name, source)
        self._wake.set()

    def _put(self, line: bytes) -> None:
        self._queue.append((time.monotonic(), line))
        self._bytes += len(line)
        if len(self._queue) == 1 or self._full:
            self._wake.set()

    @property
    def _full(self) -> bool:
        """Whether more than one batch waits, so that lingering would gain nothing."""
        return len(self._queue) >= BATCH_RECORDS or self._bytes >= BATCH_BYTES

    async def _mend(self, exchange: Exchange) -> None:
        try:
            line = await asyncio.to_thread(mend, exchange)
        except Exception:
            logger.exception("an exchange could not be encoded")
            self._drop(1)
            return
        self._put(line)
        self._mended += 1

    def _drop(self, count: int) -> None:
        self._dropped += count
        now = time.monotonic()
        if now - self._complained_at >= COMPLAINT_SECONDS:
            self._complained_at = now
            logger.error(
                "exchanges are not recorded: %d dropped so far, %d waiting; last error: %s",
                self._dropped,
                self._waiting,
                self._last_error,
            )

    async def _write_until_stopped(self) -> None:
        delay, longest = BACKOFF_SECONDS
        while True:
            try:
                await self._wait_for_work()
                if self._stopping and not self._waiting and not self._known:
                    return
                connection = await self._connected()
                await self._write_known(connection)
                self._take()
                await self._write(connection)
                delay = BACKOFF_SECONDS[0]
            # Whatever goes wrong, the log must go on: nobody would start it again.
            except Exception as error:
                self._last_error = f"{type(error).__name__}: {error}".strip()
                logger.warning(
                    "the exchange log cannot write: %s; %d records wait, next try in %.1f s",
                    self._last_error,
                    self._waiting,
                    delay,
                    exc_info=not isinstance(error, psycopg.Error | OSError),
                )
                await self._disconnect()
                await asyncio.sleep(delay)
                delay = min(delay * 2, longest)

    async def _wait_for_work(self) -> None:
        """Return when there is a batch's worth, or a little later than the first record."""
        while not (self._queue or self._batch or self._known or self._stopping):
            self._wake.clear()
            await self._wake.wait()
        if self._mending and not (self._queue or self._batch):
            await asyncio.wait(self._mending)
        if not (self._full or self._batch or self._stopping):
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LINGER_SECONDS)

    def _take(self) -> None:
        """Move a batch's worth from the queue; what a failed try left goes first."""
        size = sum(len(line) for _, line in self._batch)
        while self._queue and len(self._batch) < BATCH_RECORDS and size < BATCH_BYTES:
            self._batch.append(self._queue.popleft())
            size += len(self._batch[-1][1])

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            async with asyncio.timeout(STATEMENT_SECONDS):
                self._connection = await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=5,
                    application_name="banister exchange log",
                    options="-c timezone=UTC -c jit=off",
                )
        await self._make_partitions(self._connection)
        return self._connection

    async def _make_partitions(self, connection: psycopg.AsyncConnection) -> None:
        """Once a day; a failure waits, for the default partition takes the rows meanwhile."""
        today = datetime.now(UTC).date()
        if self._partitions_made_on == today or time.monotonic() < self._partitions_due_at:
            return
        try:
            await make_partitions(connection, today)
            self._partitions_made_on = today
        except psycopg.Error as error:
            if connection.closed:
                raise
            self._partitions_due_at = time.monotonic() + PARTITIONS_RETRY_SECONDS
            logger.warning("partitions could not be made ahead: %s", error)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    async def _write_known(self, connection: psycopg.AsyncConnection) -> None:
        for (table, key), (name, source) in list(self._known.items()):
            await connection.execute(
                sql.SQL(
                    "INSERT INTO {} (hash, name, source) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
                ).format(sql.Identifier(table)),
                (key, name, source),
            )
            del self._known[table, key]

    async def _write(self, connection: psycopg.AsyncConnection) -> None:
        """Write the batch from its front; a line that Postgres refuses is found by halving.

        What is done leaves the batch at once, so a failure in between repeats nothing.
        """
        size = len(self._batch)
        while self._batch:
            lines = [line for _, line in self._batch[:size]]
            try:
                async with asyncio.timeout(STATEMENT_SECONDS):
                    await connection.execute(INSERT, (_array(lines),))
                self._written += len(lines)
            except psycopg.Error as error:
                if not (error.sqlstate or "").startswith(POISON):
                    raise
                if len(lines) > 1:
                    size = len(lines) // 2
                    continue
                await self._reject(connection, lines[0], error)
            del self._batch[: len(lines)]
            self._bytes -= sum(map(len, lines))
            size *= 2

    async def _reject(
        self, connection: psycopg.AsyncConnection, line: bytes, error: psycopg.Error
    ) -> None:
        said = f"{error.sqlstate}: {error.diag.message_primary}"
        await connection.execute(REJECT, (hashlib.sha256(line).digest(), said, line))
        self._rejected += 1
        # Postgres' message may quote the caller's text: it stays in the table, out of every log.
        self._last_error = f"a record was refused ({error.sqlstate}) and is in rejected_records"
        logger.error("%s", self._last_error)


def _array(lines: Sequence[bytes]) -> Jsonb:
    """The lines as one JSON array, each with its own size as a member."""
    sized = b",".join([b'{"bytes":%d,%b' % (len(line), line[1:]) for line in lines])
    return Jsonb(None, dumps=lambda _: b"[%b]" % sized)
