from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text as raw
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.query import get, latest, per_bucket, totals
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Action, Caller, Exchange, Failure, Verdict
from tests.factories import make_blocked, make_exchange, make_id

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def record(url: str, *exchanges: Exchange) -> None:
    log = ExchangeLog(url, 10_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    assert log.stats.written == len(exchanges)


async def test_the_newest_come_first_and_pages_follow_each_other(
    engine: AsyncEngine, postgres_url: str
) -> None:
    # Pairs share their moment, so that the id must decide.
    made = [make_exchange(started_at=NOON + timedelta(seconds=i // 2)) for i in range(25)]
    await record(postgres_url, *made)
    pages, before = [], None
    async with engine.connect() as connection:
        while page := await latest(connection, 10, before):
            pages.append([str(row.id) for row in page])
            before = page[-1].place
    assert [len(page) for page in pages] == [10, 10, 5]
    expected = sorted(((e.started_at, e.id) for e in made), reverse=True)
    assert [i for page in pages for i in page] == [i for _, i in expected]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"plain", "blocked", "failed", "elsewhere"}),
        ({"decision": "block"}, {"blocked"}),
        ({"route": "support"}, {"elsewhere"}),
        ({"model": "other"}, {"elsewhere"}),
        ({"tenant": "globex"}, {"elsewhere"}),
        ({"failed": True}, {"failed"}),
        ({"failed": False, "decision": "allow"}, {"plain", "elsewhere"}),
        ({"text": "HANDRAIL"}, {"plain", "failed", "elsewhere"}),
        ({"text": '50% "off"_'}, {"elsewhere"}),
        ({"text": "50% xoff"}, set()),
        ({"text": "\\"}, set()),
        ({"text": "idiot", "decision": "allow"}, set()),
        ({"since": NOON + timedelta(seconds=2)}, {"failed", "elsewhere"}),
        ({"until": NOON + timedelta(seconds=1)}, {"plain"}),
        ({"limit": 0}, set()),
    ],
)
async def test_filters_narrow_the_list(
    engine: AsyncEngine, postgres_url: str, filters: dict, expected: set[str]
) -> None:
    named = {
        "plain": make_exchange(started_at=NOON),
        "blocked": make_blocked(started_at=NOON + timedelta(seconds=1)),
        "failed": make_exchange(
            started_at=NOON + timedelta(seconds=2),
            failure=Failure("upstream_error", "No upstream answered.", 502),
        ),
        "elsewhere": make_exchange(
            'Is it 50% "off"_ today?',
            started_at=NOON + timedelta(seconds=3),
            route="support",
            model="other",
            caller=Caller("k2", "globex"),
        ),
    }
    await record(postgres_url, *named.values())
    names = {exchange.id: name for name, exchange in named.items()}
    async with engine.connect() as connection:
        found = await latest(connection, **filters)
    assert {names[str(row.id)] for row in found} == expected


async def test_a_row_says_what_a_list_needs(engine: AsyncEngine, postgres_url: str) -> None:
    blocked = make_blocked("x" * 500)
    await record(postgres_url, blocked)
    async with engine.connect() as connection:
        [row] = await latest(connection)
    assert (row.decision, row.rules, row.tenant, row.key_id) == (
        "block",
        ("no-insults",),
        "acme",
        "k1",
    )
    assert row.excerpt == "x" * 200
    assert row.upstream is None


async def test_an_exchange_is_found_whole_by_its_id(engine: AsyncEngine, postgres_url: str) -> None:
    exchange = make_exchange(uncovered=("messages[2].content[1]: image",))
    await record(postgres_url, exchange)
    async with engine.connect() as connection:
        found = await get(connection, exchange.id)
    assert found is not None
    assert str(found.row.id) == exchange.id
    assert found.row.started_at == exchange.started_at
    assert found.request == exchange.request
    assert found.completion == exchange.completion
    assert found.seconds == exchange.seconds
    assert found.checks[0]["detections"] == [{"label": "insult", "score": 0.02}]
    assert found.inputs[0]["text"] == "What is a banister?"
    assert found.uncovered == ["messages[2].content[1]: image"]
    assert found.operation == "chat"
    assert found.finish_reasons == ("stop",)


@pytest.mark.parametrize(
    "wanted", ["", "no uuid", "'; DROP TABLE exchanges", "00000000-0000-4000-8000-000000000000"]
)
async def test_an_unknown_id_is_none(engine: AsyncEngine, wanted: str) -> None:
    async with engine.connect() as connection:
        assert await get(connection, wanted) is None
        assert await get(connection, make_id(NOON)) is None


async def test_an_id_whose_clock_was_wrong_is_found_too(
    engine: AsyncEngine, postgres_url: str
) -> None:
    late, random = (
        make_exchange(id=make_id(NOON - timedelta(days=3))),
        make_exchange(id=str(uuid4())),
    )
    await record(postgres_url, late, random)
    async with engine.connect() as connection:
        for exchange in (late, random):
            assert (await get(connection, exchange.id)) is not None


async def test_get_reads_only_the_partitions_near_the_ids_moment(
    engine: AsyncEngine, postgres_url: str
) -> None:
    exchange = make_exchange(started_at=datetime.now(UTC).replace(hour=12))
    await record(postgres_url, exchange)
    seen = []
    async with engine.connect() as connection:
        for condition in ("", " AND started_at BETWEEN :at - interval '10 min' AND :at"):
            plan = await connection.execute(
                raw("EXPLAIN SELECT * FROM exchanges WHERE id = :id" + condition),
                {"id": exchange.id, "at": exchange.started_at},
            )
            seen.append(sum("exchanges_2" in line for (line,) in plan))
    assert seen[1] == 1 < seen[0]


async def test_totals_count_each_decision_once(engine: AsyncEngine, postgres_url: str) -> None:
    at = {"started_at": NOON}
    await record(
        postgres_url,
        *(make_exchange(**at, seconds={"total": seconds}) for seconds in (1.0, 2.0, 3.0)),
        make_exchange(**at, seconds={"total": 2.0}, verdict=Verdict(Action.FLAG)),
        make_exchange(**at, seconds={"total": 2.0}, verdict=Verdict(Action.REDACT)),
        make_blocked(**at, seconds={"total": 0.001}),
        make_exchange(
            reply=None,
            **at,
            seconds={},
            failure=Failure("upstream_error", "x", 502),
            abandoned=True,
        ),
        make_exchange(started_at=NOON + timedelta(hours=1)),
    )
    async with engine.connect() as connection:
        found = await totals(connection, NOON, NOON + timedelta(hours=1))
        nothing = await totals(connection, NOON - timedelta(hours=1), NOON)
    assert (found.exchanges, found.allowed, found.flagged, found.redacted, found.blocked) == (
        7,
        4,
        1,
        1,
        1,
    )
    assert (found.failed, found.abandoned) == (1, 1)
    assert (found.input_tokens, found.output_tokens) == (60, 45)
    assert (found.p50_seconds, found.p95_seconds) == pytest.approx((2.0, 2.8))
    assert (nothing.exchanges, nothing.input_tokens, nothing.p50_seconds) == (0, 0, None)


async def test_buckets_cover_the_whole_span_also_where_nothing_happened(
    engine: AsyncEngine, postgres_url: str
) -> None:
    await record(
        postgres_url,
        make_exchange(started_at=NOON),
        make_blocked(started_at=NOON + timedelta(minutes=25)),
        make_exchange(started_at=NOON + timedelta(minutes=25), seconds={"total": 4.0}),
    )
    async with engine.connect() as connection:
        series = await per_bucket(
            connection, NOON, NOON + timedelta(minutes=35), timedelta(minutes=10)
        )
    assert [bucket.start.minute for bucket in series] == [0, 10, 20, 30]
    assert [bucket.exchanges for bucket in series] == [1, 0, 2, 0]
    assert [bucket.blocked for bucket in series] == [0, 0, 1, 0]
    assert [bucket.p50_seconds for bucket in series] == [0.26, None, 4.0, None]
    assert series[-1].end == NOON + timedelta(minutes=35)


@pytest.mark.parametrize("bucket", [timedelta(), timedelta(seconds=-1), timedelta(seconds=1)])
async def test_a_series_of_no_or_too_many_steps_is_refused(
    engine: AsyncEngine, bucket: timedelta
) -> None:
    async with engine.connect() as connection:
        with pytest.raises(ValueError, match="between 1 and 2000 steps"):
            await per_bucket(connection, NOON, NOON + timedelta(hours=1), bucket)
