"""How fast are the log's pages on a log of millions? Fills a database and measures.

    python -m tests.bench.biglog --rows 1000000 --directory /tmp/biglog [--keep]

The rows are made in the server (`INSERT … SELECT generate_series`), of the size and the shape of
real ones, over ten days; then the jobs count and index them as they would have.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.database import make_engine, migrate
from guardrails.database.embedded import start_embedded
from guardrails.database.url import libpq_url
from guardrails.exchange_log import query
from guardrails.exchange_log.partitions import make_partitions
from guardrails.exchange_log.rollups import catch_up, overview

DAYS = 10
CHUNK = 25_000
RARE = 100_000
ROUNDS = 20
WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have"
    " from or had an they which one you were all her she there would their we him been has"
    " when who will no more if out please write explain how can help make list summary code"
    " error table customer order invoice refund contract clause policy delivery weather"
    " history music recipe travel garden stairs handrail railing banister oak steel paint"
    " varnish screw bracket landing baluster newel model training data privacy"
)
_INSERT = """
WITH numbers AS (
    SELECT n, hashint8(n) AS h, %(start)s::timestamptz
           + (n - 1) * (interval '1 second' * %(seconds)s / %(rows)s) AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), said AS (
    SELECT n, h, at,
        -- The first words are the frequent ones; each hundred thousandth row has a rare one.
        (SELECT string_agg(word[1 + k * 0 + floor(random() * random() * %(count)s)::int], ' ')
         FROM generate_series(1, 40 + abs(h %% 60)) AS k WHERE k + n > 0)
        || CASE WHEN n %% %(rare)s = 7 THEN ' xylophone' ELSE '' END AS question,
        (SELECT string_agg(word[1 + k * 0 + floor(random() * random() * %(count)s)::int], ' ')
         FROM generate_series(1, 60 + abs(h %% 120)) AS k WHERE k + n > 0) AS reply
    FROM numbers, (SELECT %(words)s::text[] AS word) AS words
), made AS (
    SELECT n, h, at, question, reply,
        CASE WHEN n %% 33 = 0 THEN 'block' WHEN n %% 50 = 0 THEN 'flag'
             WHEN n %% 90 = 0 THEN 'redact' ELSE 'allow' END AS decision,
        'tenant-' || (abs(h) %% 40) AS tenant, 'model-' || (abs(h) %% 4) AS model,
        (ARRAY['default', 'support', 'docs'])[1 + abs(h) %% 3] AS route,
        jsonb_build_array(jsonb_build_object('role', 'user', 'content', question)) AS messages
    FROM said
)
INSERT INTO exchanges (id, started_at, protocol, route, tenant, key_id, stream,
    gen_ai_operation_name, gen_ai_request_model, gen_ai_response_model, gen_ai_usage_input_tokens,
    gen_ai_usage_output_tokens, gen_ai_response_finish_reasons, decision, failure_code, abandoned,
    policy_version, upstream, upstream_model, attempts, duration_seconds, seconds, request, prompt,
    completion, inputs, outputs, passages, citations, checks, reasons, uncovered, bytes)
SELECT encode(set_byte(set_byte(
           int8send((extract(epoch FROM at) * 1000)::bigint << 16)
           || substr(sha256(int8send(n)), 1, 8), 6, 112), 8, 128), 'hex')::uuid,
    at, 'chat', route, tenant, 'k' || tenant, n %% 2 = 0, 'chat', model, model,
    length(question) / 4, length(reply) / 4, ARRAY['stop'], decision,
    CASE WHEN n %% 120 = 1 THEN 'upstream_error' END, n %% 300 = 2, 'default@0123456789ab',
    'gpu-' || n %% 3, model || '@1', 1, 0.05 + abs(h %% 4000) / 1000.0,
    jsonb_build_object('check_input', 0.004, 'model', 0.2, 'check_output', 0.003),
    jsonb_build_object('model', model, 'messages', messages, 'user', 'user-' || abs(h) %% 5000),
    jsonb_build_object('model', model, 'messages', messages),
    jsonb_build_object('id', 'chatcmpl-' || n, 'model', model, 'choices', jsonb_build_array(
        jsonb_build_object('index', 0, 'finish_reason', 'stop',
            'message', jsonb_build_object('role', 'assistant', 'content', reply)))),
    jsonb_build_array(jsonb_build_object('stage', 'input', 'role', 'user', 'index', 0,
        'pointer', '["messages", 0, "content"]'::jsonb, 'text', question)),
    jsonb_build_array(jsonb_build_object('stage', 'output', 'role', 'assistant', 'index', 0,
        'pointer', '["choices", 0, "message", "content"]'::jsonb, 'text', reply)),
    '[]', '[]',
    jsonb_build_array(jsonb_build_object('detector', 'toxicity', 'version', '1', 'side', 'input',
        'detections', jsonb_build_array(jsonb_build_object('label', 'insult', 'score', 0.02),
                                        jsonb_build_object('label', 'threat', 'score', 0.01)))),
    CASE WHEN decision = 'allow' THEN '[]' ELSE jsonb_build_array(jsonb_build_object(
        'rule', 'no-insults', 'detector', 'toxicity', 'label', 'insult', 'action', decision,
        'side', 'input', 'threshold', 0.8, 'score', 0.93)) END,
    '[]', 2 * length(question) + length(reply)
FROM made
"""

Ask = Callable[[AsyncConnection], Awaitable[object]]


async def fill(url: str, rows: int, end: datetime) -> None:
    """Make the rows, then let the jobs go through them."""
    start = end - timedelta(days=DAYS)
    async with await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True) as connection:
        await make_partitions(connection, start.date(), DAYS + 2)
        began = time.perf_counter()
        for first in range(1, rows + 1, CHUNK):
            last = min(first + CHUNK - 1, rows)
            await connection.execute(
                _INSERT,
                {
                    "start": start,
                    "seconds": DAYS * 86_400 - 60,
                    "rows": rows,
                    "first": first,
                    "last": last,
                    "words": WORDS.split(),
                    "count": len(WORDS.split()),
                    "rare": RARE,
                },
            )
            print(f"\r{last:,} rows", end="", flush=True)
        print(f" in {time.perf_counter() - began:.0f} s")
        began = time.perf_counter()
        await catch_up(connection)
        print(f"counted and indexed in {time.perf_counter() - began:.0f} s")
        await connection.execute("VACUUM ANALYZE")
        sizes = await connection.execute(
            "SELECT parent, pg_size_pretty(sum(pg_total_relation_size(inhrelid))) FROM"
            " (SELECT inhparent::regclass::text AS parent, inhrelid FROM pg_inherits"
            "  WHERE inhparent::regclass::text IN ('exchanges', 'exchange_texts')) AS p GROUP BY 1"
        )
        print("; ".join(f"{name}: {size}" for name, size in await sizes.fetchall()))


def asked(end: datetime) -> dict[str, Ask]:
    """The questions that pages put, by name."""
    minute = end.replace(second=0, microsecond=0)
    week = end - timedelta(days=7)

    def latest(**filters: object) -> Ask:
        return lambda c: query.latest(c, 41, **filters)  # type: ignore[arg-type]

    async def deep(connection: AsyncConnection) -> object:
        place = (end - timedelta(days=8), "00000000-0000-7000-8000-000000000000")
        return await query.latest(connection, 41, place, decision="block")

    async def one(connection: AsyncConnection) -> object:
        [row] = await query.latest(connection, 1)
        return await query.get(connection, row.id)

    return {
        "page: newest": latest(),
        "page: decision": latest(decision="block"),
        "page: tenant and decision": latest(tenant="tenant-7", decision="redact"),
        "page: model, none such": latest(model="nobody"),
        "page: failed": latest(failed=True),
        "page: eight days deep": deep,
        "page: one exchange": one,
        "page: overview of 24 hours": lambda c: overview(
            c, minute - timedelta(days=1), minute, timedelta(hours=1)
        ),
        "page: overview of 7 days": lambda c: overview(
            c, minute - timedelta(days=7), minute, timedelta(hours=6)
        ),
        "search: frequent word": latest(text="banister", since=week),
        "search: two frequent words": latest(text="banister oak", since=week),
        "search: phrase": latest(text='"steel paint"', since=week),
        "search: rare word": latest(text="xylophone", since=week),
        "search: no such word": latest(text="zzyzx", since=week),
        "search: rare word, ten days": latest(text="xylophone"),
        "search: rare word of a tenant": latest(text="banister", tenant="tenant-7", since=week),
        "scan: totals of 24 hours": lambda c: query.totals(c, minute - timedelta(days=1), minute),
    }


async def measure(url: str, end: datetime, rounds: int) -> None:
    """Ask each question some times and print what it took."""
    engine = make_engine(url)
    print(f"{'':34} {'p50':>8} {'p95':>8}  ms, n = {rounds}")
    for name, ask in asked(end).items():
        taken = []
        for _ in range(rounds if not name.startswith("scan") else 3):
            async with engine.connect() as connection:
                began = time.perf_counter()
                await ask(connection)
                taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        p95 = taken[min(len(taken) - 1, round(0.95 * len(taken)))]
        print(f"{name:34} {statistics.median(taken):8.1f} {p95:8.1f}", flush=True)
    await engine.dispose()


def main() -> None:
    """Fill a scratch database of its own and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--keep", action="store_true", help="leave the database for another time")
    arguments = parser.parse_args()
    kept = arguments.directory / "end"
    server = start_embedded(arguments.directory, options={"synchronous_commit": "off"})
    try:
        migrate(server.url)
        if not kept.exists():
            end = datetime.now(UTC).replace(second=0, microsecond=0)
            asyncio.run(fill(server.url, arguments.rows, end))
            kept.write_text(end.isoformat())
        end = datetime.fromisoformat(kept.read_text())
        asyncio.run(measure(server.url, end, arguments.rounds))
    finally:
        server.stop()
        if not arguments.keep:
            shutil.rmtree(arguments.directory, ignore_errors=True)


if __name__ == "__main__":
    main()
