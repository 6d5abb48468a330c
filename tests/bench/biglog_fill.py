"""Fills a log with millions of exchanges, as ten days of traffic would have left it.

Texts come from a pool with the word frequencies of language (Zipf). Rows are made in the server, a
day's table at a time, which gets its indexes when it is attached, so nothing is missing that
production has. The counts are made by the job itself; the index of words takes over what was parsed
for the pool, for parsing ten million texts takes an hour.
"""

from __future__ import annotations

import math
import random
import time
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from guardrails.exchange_log.rollups import JOB, count
from guardrails.exchange_log.settled import Range

DAYS = 10
POOL = 20_000
CHUNK = 100_000
ROWS_A_TRANSACTION = 200
RARE = 100_000
SERVER = {
    # Nothing here must outlive a crash, and a table that its own transaction made needs no log.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "1GB",
    "shared_buffers": "1GB",
    "work_mem": "256MB",
}
FREQUENT = (
    "the of and to in is that for it as was with be by on not he his but at are this have"
    " from or had an they which one you were all her she there would their we him been has"
    " when who will no more if out please write explain how can help make list summary code"
    " error table customer order invoice refund contract clause policy delivery weather"
    " history music recipe travel garden stairs handrail railing banister oak steel paint"
    " varnish screw bracket landing baluster newel model training data privacy"
)
VOCABULARY = 30_000

# The values are compressed once, here, and copied as they are.
_POOL = """
CREATE TABLE pool AS
WITH said AS (
    SELECT *, 'model-' || n % 4 AS model,
        jsonb_build_array(jsonb_build_object('role', 'user', 'content', question)) AS messages
    FROM made
), parts AS (
    SELECT *, jsonb_build_array(jsonb_build_object('stage', 'input', 'role', 'user', 'index', 0,
            'pointer', '["messages", 0, "content"]'::jsonb, 'text', question)) AS inputs,
        jsonb_build_array(jsonb_build_object('stage', 'output', 'role', 'assistant', 'index', 0,
            'pointer', '["choices", 0, "message", "content"]'::jsonb, 'text', reply)) AS outputs
    FROM said
)
SELECT n, model, length(question) / 4 AS input_tokens, length(reply) / 4 AS output_tokens,
    2 * length(question) + 2 * length(reply) + 900 AS bytes, inputs, outputs,
    jsonb_build_object('model', model, 'messages', messages, 'user', 'user-' || n) AS request,
    jsonb_build_object('id', 'chatcmpl-' || n, 'model', model, 'choices', jsonb_build_array(
        jsonb_build_object('index', 0, 'finish_reason', 'stop',
            'message', jsonb_build_object('role', 'assistant', 'content', reply)))) AS completion,
    exchange_search(inputs, outputs) AS search
FROM parts
"""
# Half of all traffic is that of three tenants. The largest is never redacted, and nothing has
# failed for five days: pages that find nothing have the most to look through.
_ROWS = """
WITH numbers AS (
    SELECT n, abs(hashint8(n)::bigint) AS h,
           greatest({begin}, least({end}::timestamptz - interval '1 ms', %(start)s::timestamptz
           + interval '1 second' * ((n - 1)::float8 * %(seconds)s / %(rows)s))) AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), made AS (
    SELECT *, CASE WHEN n %% %(rare)s = 7 THEN %(pool)s + n / %(rare)s %% 10
                   ELSE h %% %(pool)s END AS text,
        'tenant-' || t AS tenant, (ARRAY['default', 'support', 'docs'])[1 + h / 31 %% 3] AS route,
        CASE WHEN n %% 33 = 0 THEN 'block' WHEN n %% 50 = 0 THEN 'flag'
             WHEN n %% 90 = 0 AND t > 0 THEN 'redact' ELSE 'allow' END AS decision,
        CASE WHEN n %% 120 = 1 AND n < %(rows)s / 2 THEN 'upstream_error' END AS failure
    FROM numbers, LATERAL (SELECT floor(40 * power((h %% 9973) / 9973.0::float8, 3))::int AS t) AS _
), rows AS (
    INSERT INTO {table} (id, started_at, recorded_at, protocol, route, tenant, key_id, stream,
        gen_ai_operation_name, gen_ai_request_model, gen_ai_response_model,
        gen_ai_usage_input_tokens, gen_ai_usage_output_tokens, gen_ai_response_finish_reasons,
        decision, failure_code, abandoned, policy_version, upstream, upstream_model, attempts,
        duration_seconds, seconds, request, completion, inputs, outputs, passages,
        citations, checks, reasons, uncovered, bytes, xact)
    SELECT encode(set_byte(set_byte(
               int8send((extract(epoch FROM at) * 1000)::bigint << 16)
               || substr(sha256(int8send(made.n)), 1, 8), 6, 112), 8, 128), 'hex')::uuid,
        at, at + interval '1 second', 'chat', route, tenant, 'k' || tenant, made.n %% 2 = 0, 'chat',
        model, model, input_tokens, output_tokens, ARRAY['stop'], decision, failure,
        made.n %% 300 = 2, 'default@0123456789ab', 'gpu-' || made.n %% 3, model || '@1', 1,
        0.05 + (h %% 4000) / 1000.0,
        '{{"check_input": 0.004, "model": 0.2, "check_output": 0.003}}', request,
        completion, inputs, outputs, '[]', '[]', %(checks)s,
        CASE WHEN decision = 'allow' THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
            'rule', 'no-insults', 'detector', 'toxicity', 'label', 'insult', 'action', decision,
            'side', 'input', 'threshold', 0.8, 'score', 0.93)) END,
        '[]', bytes, %(xact)s + made.n / %(together)s
    FROM made JOIN pool ON pool.n = made.text
    RETURNING started_at, id, substr(completion->>'id', 10)::bigint AS text
)
INSERT INTO {texts} (started_at, id, search)
SELECT started_at, id, search FROM rows JOIN pool ON pool.n = rows.text
"""
# Two hundred topics; each row is somewhere about its own.
_TOPICS = """
CREATE TABLE topics AS
SELECT n, (SELECT array_agg(random() - 0.5 + 0 * (n + k))
           FROM generate_series(1, 384) AS k)::halfvec(384) AS place
FROM generate_series(0, 1199) AS n
"""
_VECTORS = """
INSERT INTO {vectors} (started_at, id, embedding)
SELECT started_at, id, l2_normalize(topic.place + topic.place + own.place)
FROM (SELECT started_at, id, abs(uuid_hash(id)::bigint) AS h FROM {table}
      WHERE decision = 'block' OR mod(abs(uuid_hash(id)::bigint), 1000000) < 10000) AS e
JOIN topics AS topic ON topic.n = h / 7 %% 200 JOIN topics AS own ON own.n = 200 + h %% 1000
"""
CHECKS = [
    {
        "detector": "toxicity",
        "version": "1",
        "side": "input",
        "detections": [{"label": "insult", "score": 0.02}, {"label": "threat", "score": 0.01}],
    }
]


async def fill(connection: psycopg.AsyncConnection, rows: int, end: datetime) -> None:
    """Make the rows of the ten days until `end`, with their words and their counts."""
    start = end - timedelta(days=DAYS)
    await connection.execute("SET synchronous_commit = off")
    await _make_pool(connection)
    values = {
        "start": start,
        "seconds": DAYS * 86_400 - 60,
        "rows": rows,
        "rare": RARE,
        "pool": POOL,
        "checks": Jsonb(CHECKS),
        "together": ROWS_A_TRANSACTION,
        "xact": await _spend_transactions(connection, rows // ROWS_A_TRANSACTION + 2),
    }
    # The first and the last day are parts of one.
    passed = [(_begin(start, n) - start).total_seconds() for n in range(DAYS + 1)]
    borders = [max(1, 1 + math.ceil(s * rows / values["seconds"])) for s in passed]
    borders.append(rows + 1)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("rows", total=rows)
        for number in range(DAYS + 1):
            day, first, last = _begin(start, number).date(), borders[number], borders[number + 1]
            began = time.perf_counter()
            async with connection.transaction():
                await _fill_day(connection, day, first, last, values)
            progress.update(task, completed=last - 1)
            took = time.perf_counter() - began
            progress.console.print(f"{day}: {last - first:,} rows in {took:.0f} s")
    await connection.execute(
        "INSERT INTO log_progress (job, xact) VALUES (%s, %s)",
        (JOB, values["xact"] + rows // ROWS_A_TRANSACTION + 1),
    )
    await connection.execute("DROP TABLE pool, topics")
    await connection.execute("VACUUM")


def _begin(start: datetime, number: int) -> datetime:
    """When the log's day of that number begins."""
    return start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=number)


async def _fill_day(
    connection: psycopg.AsyncConnection, day: date, first: int, last: int, values: dict[str, Any]
) -> None:
    names = {
        "table": sql.Identifier(f"exchanges_{day:%Y_%m_%d}"),
        "texts": sql.Identifier(f"exchange_texts_{day:%Y_%m_%d}"),
        "begin": datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat(),
        "end": (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(1)).isoformat(),
    }

    async def run(statement: str, *more: dict[str, Any]) -> None:
        await connection.execute(sql.SQL(statement).format(**names), *more)

    await run("CREATE TABLE {table} (LIKE exchanges INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    await run("CREATE TABLE {texts} (LIKE exchange_texts INCLUDING DEFAULTS)")
    for begin in range(first, last, CHUNK):
        chunk = {"first": begin, "last": min(begin + CHUNK, last) - 1}
        await run(_ROWS, {**values, **chunk})
    until = "FOR VALUES FROM ({begin}) TO ({end})"
    await run("ALTER TABLE exchanges ATTACH PARTITION {table} " + until)
    await run("ALTER TABLE exchange_texts ATTACH PARTITION {texts} " + until)
    await run("ANALYZE {table}")
    await run("ANALYZE {texts}")
    await embed_day(connection, day)
    # A transaction at midnight wrote rows of two days; it is counted with the second's.
    counted = [values["xact"] + n // ROWS_A_TRANSACTION for n in (first, last)]
    await count(connection, Range(counted[0], counted[1] + (last > values["rows"])))


async def embed_day(connection: psycopg.AsyncConnection, day: date) -> None:
    """Give a day's blocked exchanges, and each hundredth other one, a vector out of `topics`."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    names = {
        "table": sql.Identifier(f"exchanges_{day:%Y_%m_%d}"),
        "vectors": sql.Identifier(f"exchange_embeddings_{day:%Y_%m_%d}"),
        "begin": begin.isoformat(),
        "end": (begin + timedelta(days=1)).isoformat(),
    }
    for statement in (
        "CREATE TABLE {vectors} (LIKE exchange_embeddings INCLUDING DEFAULTS)",
        _VECTORS.replace("%%", "%"),
        "ALTER TABLE exchange_embeddings ATTACH PARTITION {vectors}"
        " FOR VALUES FROM ({begin}) TO ({end})",
    ):
        await connection.execute(sql.SQL(statement).format(**names))


async def _make_pool(connection: psycopg.AsyncConnection) -> None:
    chance = random.Random(5)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er")]
    words = FREQUENT.split()
    while len(words) < VOCABULARY:
        words.append("".join(chance.choices(syllables, k=2 + len(words) % 3)))
    weights = list(accumulate(1 / rank for rank in range(2, VOCABULARY + 2)))

    def text(fewest: int, most: int) -> str:
        return " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(fewest, most)))

    await connection.execute("CREATE TEMP TABLE made (n int, question text, reply text)")
    async with connection.cursor() as cursor, cursor.copy("COPY made FROM STDIN") as copy:
        for number in range(POOL + 10):
            rare = " xylophone" if number >= POOL else ""
            await copy.write_row((number, text(8, 30) + rare, text(15, 50)))
    await connection.execute(_POOL)
    await connection.execute("ANALYZE pool")
    await connection.execute(_TOPICS)


async def _spend_transactions(connection: psycopg.AsyncConnection, number: int) -> int:
    """Use up that many transactions and give the first, for the rows to name as their own."""
    row = await (await connection.execute("SELECT pg_current_xact_id()::text::bigint")).fetchone()
    assert row is not None
    await connection.execute(
        sql.SQL(
            "DO $$ BEGIN FOR i IN 1..{} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        ).format(sql.Literal(number))
    )
    return int(row[0])
