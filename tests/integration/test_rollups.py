"""Counts and the search index over a real log: each row once, and the same answer as a scan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database.url import libpq_url
from guardrails.errors import BadRequest
from guardrails.exchange_log import query
from guardrails.exchange_log.chain import Sealer
from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.record import encode
from guardrails.exchange_log.retention import retain
from guardrails.exchange_log.rollups import catch_up, overview, percentile
from guardrails.exchange_log.rows import EXCERPT_CHARACTERS
from guardrails.exchange_log.search import NEWEST_FIRST, find
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Action, Caller, Exchange, Failure, Verdict
from tests.factories import make_blocked, make_exchange, make_reason

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as connection:
        yield connection


async def write(url: str, *exchanges: Exchange) -> None:
    log = ExchangeLog(url, 10_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    assert log.stats.written == len(exchanges)


def traffic() -> list[Exchange]:
    """Six hours of it, some of each kind."""
    made = []
    for n in range(120):
        at = NOON - timedelta(minutes=3 * n + 1, seconds=n % 50)
        seconds = {"total": 0.05 * (1 + n % 40)}
        match n % 6:
            case 0:
                made.append(make_blocked(started_at=at, seconds={"total": 0.001}))
            case 1:
                verdict = Verdict(Action.FLAG, (make_reason(action=Action.FLAG),))
                made.append(make_exchange(started_at=at, seconds=seconds, verdict=verdict))
            case 2:
                failure = Failure("upstream_error", "No upstream.", 502)
                made.append(make_exchange(reply=None, started_at=at, failure=failure))
            case 3:
                shadow = Verdict(reasons=(make_reason(shadow=True),))
                made.append(make_exchange(started_at=at, seconds=seconds, verdict=shadow))
            case 4:
                caller = Caller("k2", "globex")
                made.append(make_exchange(started_at=at, seconds=seconds, caller=caller))
            case _:
                made.append(make_exchange(started_at=at, seconds=seconds, abandoned=True))
    return made


@pytest.mark.parametrize("counted", ["none", "half", "all"])
@pytest.mark.parametrize(
    ("since", "until", "bucket"),
    [
        (NOON - 24 * HOUR, NOON, HOUR),
        (NOON - timedelta(hours=3, minutes=17), NOON - timedelta(minutes=5), 10 * MINUTE),
        (NOON - 20 * MINUTE, NOON - 10 * MINUTE, 3 * MINUTE),
        (NOON - 2 * HOUR, NOON - HOUR, HOUR),
        (NOON + HOUR, NOON + 2 * HOUR, HOUR),
    ],
)
async def test_counts_say_what_a_scan_says_however_far_the_job_is(
    counted, since, until, bucket, connection, engine: AsyncEngine, postgres_url: str
) -> None:
    made = traffic()
    first = made if counted == "all" else made[::2]
    await write(postgres_url, *first)
    if counted != "none":
        await catch_up(connection)
    if counted != "all":
        await write(postgres_url, *made[1::2])
    async with engine.connect() as reading:
        found = await overview(reading, since, until, bucket)
        totals = await query.totals(reading, since, until)
        series = await query.per_bucket(reading, since, until, bucket)
    for ours, exact in [(found.totals, totals), *zip(found.buckets, series, strict=True)]:
        for name in exact.__struct_fields__:
            value = getattr(exact, name)
            if name.startswith("p") and value is not None:
                # Between two neighbours percentile_cont draws a line; a count takes one of them.
                assert getattr(ours, name) == pytest.approx(value, rel=0.3, abs=0.05), name
            else:
                assert getattr(ours, name) == value, name


async def test_each_row_is_counted_once_by_every_key(connection, postgres_url: str) -> None:
    made = traffic()
    for part in (made[:50], made[50:]):
        await write(postgres_url, *part)
        await catch_up(connection)
        await catch_up(connection)
    for step in (60, 3600):
        rows = await connection.execute(
            "SELECT sum(exchanges), sum(failed), sum(abandoned) FROM exchange_counts WHERE step=%s",
            (step,),
        )
        assert await rows.fetchone() == (120, 20, 20)
    rows = await connection.execute(
        "SELECT sum(exchanges), sum(failed), sum(abandoned) FROM exchange_hours"
    )
    assert await rows.fetchone() == (120, 20, 20)
    for table in ("label_counts", "label_hours"):
        rows = await connection.execute(
            "SELECT decision, label, shadow, sum(exchanges)"
            f" FROM {table} GROUP BY 1, 2, 3 ORDER BY 1, 3"
        )
        assert await rows.fetchall() == [
            ("allow", "insult", True, 20),
            ("block", "insult", False, 20),
            ("flag", "insult", False, 20),
        ], table


async def test_hours_are_told_when_their_minutes_are_gone(
    connection, engine: AsyncEngine, postgres_url: str
) -> None:
    await write(postgres_url, *traffic())
    await catch_up(connection)
    async with engine.connect() as reading:
        before = await overview(reading, NOON - 24 * HOUR, NOON, HOUR)
    await retain(connection, Sealer(b"s", lambda: NOON), (), None, now=NOON + timedelta(days=9))
    async with engine.connect() as reading:
        assert await overview(reading, NOON - 24 * HOUR, NOON, HOUR) == before


async def test_a_model_that_nobody_serves_gets_no_line_of_its_own(connection, postgres_url) -> None:
    failure = Failure("model_not_found", "There is no such model.", 404)
    await write(
        postgres_url,
        *(make_exchange(reply=None, model=f"made up {n}", failure=failure) for n in range(9)),
        make_exchange(),
    )
    await catch_up(connection)
    rows = await connection.execute("SELECT DISTINCT model FROM exchange_counts ORDER BY 1")
    assert await rows.fetchall() == [("",), ("demo",)]


SAID = {
    "plain": "The quick brown fox jumps over the lazy dog",
    "mail": "Write to ann@example.org about foo-bar",
    "umlaut": "Ein Geländer am Übergang",
    "farsi": "سلام دنیا",
    "attack": '<img src=x onerror="alert(1)"> and /etc/passwd?a=1&b=zebra',
    "quotes": 'It\'s 50% "off" today: brown paper, quick delivery',
}


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("quick brown", {"plain", "quotes"}),
        ("QUICK BRO", {"plain", "quotes"}),
        ('"quick brown"', {"plain"}),
        ("quick -lazy", {"quotes"}),
        ("ann@example.org", {"mail"}),
        ("foo-bar", {"mail"}),
        ("geländer", {"umlaut"}),
        ("دنیا", {"farsi"}),
        ("handrail", set(SAID)),
        ("50%", {"quotes"}),
        ("onerror", {"attack"}),
        ("<img src=x onerror", {"attack"}),
        ("passwd", {"attack"}),
        ("/etc/passwd", {"attack"}),
        ("zebra", {"attack"}),
        ("nothing of this", set()),
        ("'; DROP TABLE exchanges", set()),
        (":* & | ! ( ) < \\ '", set()),
        ("\x00", set()),
    ],
)
async def test_words_find_what_was_said(
    indexed, words, expected, connection, engine: AsyncEngine, postgres_url: str
) -> None:
    made = {
        name: make_exchange(said, started_at=NOON - timedelta(days=2 * n))
        for n, (name, said) in enumerate(SAID.items())
    }
    await write(postgres_url, *made.values())
    if indexed:
        await catch_up(connection)
    async with engine.connect() as reading:
        rows = await query.latest(reading, text=words)
    names = {exchange.id: name for name, exchange in made.items()}
    assert {names[str(row.id)] for row in rows} == expected
    assert [row.started_at for row in rows] == sorted((r.started_at for r in rows), reverse=True)


async def test_pages_of_a_search_follow_each_other_over_days_and_the_fresh_rows(
    connection, engine: AsyncEngine, postgres_url: str
) -> None:
    old = [make_exchange("needle", started_at=NOON - timedelta(hours=5 * n)) for n in range(40)]
    await write(postgres_url, *old, *traffic())
    await catch_up(connection)
    fresh = [make_exchange("needle", started_at=NOON - timedelta(hours=7 * n)) for n in range(1, 9)]
    await write(postgres_url, *fresh)
    seen, before = [], None
    async with engine.connect() as reading:
        while page := await query.latest(reading, 7, before, text="needle"):
            seen += [str(row.id) for row in page]
            before = page[-1].place
        since = NOON - timedelta(days=2)
        late = await query.latest(reading, 100, text="needle", since=since, tenant="acme")
        none = await query.latest(reading, 100, text="needle", tenant="globex")
    ordered = sorted(((e.started_at, e.id) for e in (*old, *fresh)), reverse=True)
    assert seen == [exchange_id for _, exchange_id in ordered]
    assert len(late) == sum(at >= since for at, _ in ordered)
    assert none == []


async def test_a_long_text_is_written_and_its_latest_words_are_found(
    connection, engine: AsyncEngine, postgres_url: str
) -> None:
    long = make_exchange(" ".join(f"w{n}" for n in range(30_000)) + " latest")
    await write(postgres_url, long)
    await catch_up(connection)
    async with engine.connect() as reading:
        [row] = await query.latest(reading, text="latest")
        assert len(row.excerpt) == EXCERPT_CHARACTERS
        assert len(await find(reading, "latest", (), 10, None, None)) == 1
    assert len(NEWEST_FIRST) == 2


async def test_encrypted_texts_are_read_with_the_key_and_not_searched(
    connection, engine: AsyncEngine, postgres_url: str
) -> None:
    cipher = Cipher({"k": b"n" * 32}, b"secret")
    exchange = make_exchange("What is a secret?")
    log = ExchangeLog(postgres_url, 10)
    line = encode(exchange)
    assert line is not None
    await write(postgres_url, make_exchange("This one is plain."))
    await insert(connection, cipher.seal(line))
    await catch_up(connection)
    async with engine.connect() as reading:
        found = await query.get(reading, exchange.id, cipher)
        assert found is not None
        assert (found.request, found.prompt) == (exchange.request, exchange.prompt)
        assert found.inputs[0]["text"] == "What is a secret?"
        assert found.row.response_model == "demo-model-2026"
        assert found.finish_reasons == ("stop",)
        rows = await query.latest(reading, cipher=cipher)
        assert {row.excerpt for row in rows} == {"What is a secret?", "This one is plain."}
        with pytest.raises(BadRequest, match="encrypted"):
            await query.latest(reading, text="secret", cipher=cipher)
        closed = await query.get(reading, exchange.id)
        assert "What is a secret?" not in str(closed)
    assert log.stats.written == 0


async def insert(connection, line: bytes) -> None:
    """A sealed line as the writer would store it: its own columns are what matters here."""
    await connection.execute(
        "INSERT INTO exchanges (id, started_at, protocol, route, tenant, stream,"
        " gen_ai_operation_name, gen_ai_request_model, gen_ai_response_model,"
        " gen_ai_response_finish_reasons, decision, abandoned, policy_version, attempts, seconds,"
        " request, prompt, completion, inputs, outputs, passages, citations, checks, reasons,"
        " uncovered, bytes) SELECT (r->>'id')::uuid, (r->>'started_at')::timestamptz, 'chat',"
        " 'default', 'acme', false, 'chat', 'demo', r->'completion'->>'model',"
        " ARRAY[r->'completion'->'choices'->0->>'finish_reason'], 'allow', false, 'p@1', 1, '{}',"
        " r->'request', r->'prompt', r->'completion', r->'inputs', r->'outputs', r->'passages',"
        " '[]', '[]', '[]', '[]', 1 FROM (SELECT %s::jsonb AS r) AS record",
        (line.decode(),),
    )


@pytest.mark.parametrize(
    ("since", "until", "bucket", "said"),
    [
        (NOON, NOON + HOUR, timedelta(seconds=30), "several"),
        (NOON, NOON + HOUR, timedelta(), "several"),
        (NOON + timedelta(seconds=1), NOON + HOUR, MINUTE, "whole minutes"),
        (NOON, NOON, HOUR, "between 1 and 2000"),
        (NOON - timedelta(days=8), NOON, MINUTE, "between 1 and 2000"),
    ],
)
async def test_a_span_that_the_counts_cannot_tell_is_refused(
    since, until, bucket, said, engine: AsyncEngine
) -> None:
    async with engine.connect() as reading:
        with pytest.raises(ValueError, match=said):
            await overview(reading, since, until, bucket)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ({}, 0.5, None),
        ({100: 1}, 0.5, 0.1522),
        ({0: 1, 100: 1}, 0.95, 0.1522),
        ({0: 99, 100: 1}, 0.95, 0.001025),
        ({-138: 1}, 0.5, 0.00000103),
    ],
)
def test_a_percentile_is_the_middle_of_its_bucket(counts, share, expected) -> None:
    found = percentile(counts, share)
    assert found == (None if expected is None else pytest.approx(expected, rel=0.01))
