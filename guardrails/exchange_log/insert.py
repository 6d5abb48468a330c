"""How does a batch of lines become rows, once each, with nothing unpacked in Python?

One statement a batch: the server unpacks the lines, inserts what is new, and moves the position of
the spool that they came from. Either all of it happens or nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from guardrails.database.url import libpq_url
from guardrails.exchange_log.partitions import make_partitions

logger = logging.getLogger(__name__)

BATCH_RECORDS = 1_000
BATCH_BYTES = 2**20
STATEMENT_SECONDS = 60.0
PARTITIONS_RETRY_SECONDS = 600.0
POISON = ("21", "22", "23", "54")
"""Classes of SQLSTATE that blame the data; every other error blames the server, and is retried."""

OPTIONS = "-c timezone=UTC -c jit=off -c synchronous_commit=on"
"""What is committed is deleted from the spool, so it must be on the server's disk by then."""

INSERT = """
INSERT INTO exchanges (
    id, started_at, protocol, route, tenant, key_id, stream,
    gen_ai_operation_name, gen_ai_request_model, gen_ai_response_model,
    gen_ai_usage_input_tokens, gen_ai_usage_output_tokens, gen_ai_response_finish_reasons,
    decision, failure_code, failure_message, failure_status, abandoned,
    policy_version, template_hash, upstream, upstream_model, attempts, duration_seconds, seconds,
    request, prompt, completion, answer, inputs, outputs, passages, citations, checks, reasons,
    uncovered, bytes, language, groups,
    conversation, assigned_model, source_id
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
    ) || array_remove(ARRAY[coalesce(
        completion->>'stop_reason', completion->'details'->>'finish_reason',
        completion->'incomplete_details'->>'reason', completion->>'status')], NULL),
    verdict->>'action', failure->>'code', failure->>'message', (failure->>'status')::integer,
    abandoned, policy_version, template_hash, upstream, upstream_model, attempts,
    coalesce(
        (seconds->>'total')::float8,
        (SELECT sum(value::float8) FROM jsonb_each_text(seconds))
    ),
    seconds, request, prompt, completion, answer, inputs, outputs, passages, citations, checks,
    verdict->'reasons', uncovered, bytes, language, groups,
    conversation, assigned_model, source_id
FROM jsonb_to_recordset(%s) AS record (
    id uuid, started_at timestamptz, protocol text, route text, model text, stream boolean,
    request jsonb, caller jsonb, policy_version text, template_hash text, inputs jsonb,
    outputs jsonb, passages jsonb, citations jsonb, prompt jsonb, completion jsonb, answer jsonb,
    usage jsonb, checks jsonb, verdict jsonb, uncovered jsonb, upstream text, upstream_model text,
    attempts integer, seconds jsonb, failure jsonb, abandoned boolean, bytes integer,
    language text, groups text[], conversation bigint, assigned_model text,
    source_id uuid
)
ON CONFLICT DO NOTHING
"""
REJECT = """
INSERT INTO rejected_records (sha256, error, record) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
MOVE = """
WITH written AS ({}) INSERT INTO log_spools AS spool (id, position, lost) VALUES (%s, %s, %s)
ON CONFLICT (id) DO UPDATE SET position = greatest(spool.position, excluded.position),
    lost = spool.lost + CASE WHEN excluded.position > spool.position THEN excluded.lost ELSE 0 END,
    updated_at = now()
"""
INSERT_AND_MOVE, REJECT_AND_MOVE = MOVE.format(INSERT), MOVE.format(REJECT)
POSITIONS = "SELECT id, position FROM log_spools WHERE id = ANY(%s)"
FORGET = "DELETE FROM log_spools WHERE id = %s AND lost = 0"


@dataclass(slots=True)
class Batch:
    """Numbered lines of one spool (None: of memory) on their way, with how many were lost."""

    records: list[tuple[int, bytes]]
    spool: UUID | None = None
    lost: int = 0


class Inserter:
    """One connection to Postgres, made when it is needed and again when it broke.

    Every method raises psycopg.Error, OSError or TimeoutError where the server is at fault; the
    caller waits and tries again. `on_reject` is told what was put into `rejected_records`, in words
    that hold nothing of the record.
    """

    def __init__(self, url: str, on_reject: Callable[[str], None]) -> None:
        self._url = libpq_url(url)
        self._on_reject = on_reject
        self._connection: psycopg.AsyncConnection | None = None
        self._partitions_made_on: date | None = None
        self._partitions_due_at = float("-inf")

    async def write(self, batch: Batch) -> int:
        """Write records from the front of a batch; how many of them are done.

        The position of their spool moves to the last one's number, and its losses grow by the
        batch's. A line that Postgres refuses is found by halving: so call again for the rest.
        """
        connection = await self.connected()
        count = len(batch.records)
        while True:
            part = batch.records[:count]
            moved = () if batch.spool is None else (batch.spool, part[-1][0], batch.lost)
            try:
                async with asyncio.timeout(STATEMENT_SECONDS):
                    await connection.execute(
                        INSERT_AND_MOVE if moved else INSERT,
                        (_array([line for _, line in part]), *moved),
                    )
                return count
            except psycopg.Error as error:
                if not (error.sqlstate or "").startswith(POISON):
                    raise
                if count == 1:
                    await self._reject(part[0][1], error, moved)
                    return 1
                count //= 2

    async def write_known(self, table: str, key: str, name: str, source: str) -> None:
        """See that a policy's or a template's text is there."""
        connection = await self.connected()
        await connection.execute(
            sql.SQL(
                "INSERT INTO {} (hash, name, source) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            ).format(sql.Identifier(table)),
            (key, name, source),
        )

    async def positions(self, spools: Sequence[UUID]) -> Mapping[UUID, int]:
        """How far these spools are written; 0 for one that never was."""
        connection = await self.connected()
        rows = await (await connection.execute(POSITIONS, (list(spools),))).fetchall()
        return {**dict.fromkeys(spools, 0), **dict(rows)}

    async def forget(self, spool: UUID) -> None:
        """The spool is gone. Its row stays where it lost records."""
        await (await self.connected()).execute(FORGET, (spool,))

    async def connected(self) -> psycopg.AsyncConnection:
        """The connection, with today's partitions made."""
        if self._connection is None or self._connection.closed:
            async with asyncio.timeout(STATEMENT_SECONDS):
                self._connection = await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=5,
                    application_name="banister exchange log",
                    options=OPTIONS,
                )
        await self._make_partitions(self._connection)
        return self._connection

    async def disconnect(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

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

    async def _reject(self, line: bytes, error: psycopg.Error, moved: tuple[object, ...]) -> None:
        said = f"{error.sqlstate}: {error.diag.message_primary}"
        connection = await self.connected()
        await connection.execute(
            REJECT_AND_MOVE if moved else REJECT,
            (hashlib.sha256(line).digest(), said, line, *moved),
        )
        # Postgres' message may quote the caller's text: it stays in the table, out of every log.
        self._on_reject(f"a record was refused ({error.sqlstate}) and is in rejected_records")


def _array(lines: Sequence[bytes]) -> Jsonb:
    """The lines as one JSON array, each with its own size as a member."""
    sized = b",".join([b'{"bytes":%d,%b' % (len(line), line[1:]) for line in lines])
    return Jsonb(None, dumps=lambda _: b"[%b]" % sized)
