from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from guardrails.database.url import libpq_url
from guardrails.exchange_log.insert import BATCH_RECORDS
from guardrails.exchange_log.partitions import make_partitions_at, partition_name
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Exchange, Failure, Usage
from tests.factories import make_blocked, make_exchange

NOWHERE = "postgresql://postgres@127.0.0.1:1/none"


async def rows(url: str, query: str, *arguments: object) -> list[tuple]:
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        return await (await connection.execute(query, arguments)).fetchall()


async def count(url: str, table: str = "exchanges") -> int:
    [(number,)] = await rows(url, f"SELECT count(*) FROM {table}")
    return number


async def soon(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def write(url: str, *exchanges: Exchange) -> ExchangeLog:
    log = ExchangeLog(url, 100_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    return log


class Outage:
    """Postgres away for one database: nobody connects, and who was connected is thrown out."""

    def __init__(self, server: str, url: str) -> None:
        self.server = libpq_url(server)
        self.name = psycopg.conninfo.conninfo_to_dict(libpq_url(url))["dbname"]

    async def _allow(self, allowed: bool) -> None:
        async with await psycopg.AsyncConnection.connect(self.server, autocommit=True) as admin:
            await admin.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
                    sql.Identifier(self.name), allowed
                )
            )
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (self.name,),
            )

    async def __aenter__(self) -> None:
        await self._allow(False)

    async def __aexit__(self, *_: object) -> None:
        await self._allow(True)


async def test_what_is_appended_is_found_in_its_columns(postgres_url: str) -> None:
    allowed, blocked = make_exchange(), make_blocked()
    log = await write(postgres_url, allowed, blocked)
    found = await rows(
        postgres_url,
        "SELECT id::text, started_at, decision, tenant, key_id, gen_ai_request_model,"
        " gen_ai_response_model, gen_ai_usage_input_tokens, gen_ai_response_finish_reasons,"
        " duration_seconds, prompt, failure_code, reasons->0->>'rule', inputs->0->>'text',"
        " bytes > 100, completion IS NULL, answer IS NULL FROM exchanges ORDER BY decision",
    )
    assert found == [
        (allowed.id, allowed.started_at, "allow", "acme", "k1", "demo", "demo-model-2026", 12,
         ["stop"], 0.26, allowed.prompt, None, None, "What is a banister?", True, False, True),
        (blocked.id, blocked.started_at, "block", "acme", "k1", "demo", None, None,
         [], 0.26, blocked.prompt, None, "no-insults", "You are an idiot.", True, True, False),
    ]  # fmt: skip
    assert (log.stats.written, log.stats.dropped, log.stats.queued) == (2, 0, 0)


@pytest.mark.parametrize(
    ("protocol", "completion", "operation", "reasons"),
    [
        ("chat", {"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}]}, "chat",
         ["stop", "length"]),
        ("completions", {"choices": [{"finish_reason": None}]}, "text_completion", []),
        ("messages", {"stop_reason": "end_turn"}, "chat", ["end_turn"]),
        ("responses", {"status": "completed"}, "chat", ["completed"]),
        ("responses", {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
         "chat", ["content_filter"]),
        ("tgi", {"details": {"finish_reason": "length"}}, "tgi", ["length"]),
        ("embeddings", {"data": []}, "embeddings", []),
        ("chat", {"choices": "garbage", "model": 7}, "chat", []),
        ("chat", {"choices": [1, None, {"finish_reason": {"a": 1}}]}, "chat", ['{"a": 1}']),
        ("chat", {"choices": {"finish_reason": "stop"}}, "chat", ["stop"]),
    ],
)  # fmt: skip
async def test_every_answer_fits_however_odd_it_is(
    postgres_url: str, protocol: str, completion: dict, operation: str, reasons: list[str]
) -> None:
    log = await write(postgres_url, make_exchange(protocol=protocol, completion=completion))
    assert log.stats.rejected == 0
    assert await rows(
        postgres_url, "SELECT gen_ai_operation_name, gen_ai_response_finish_reasons FROM exchanges"
    ) == [(operation, reasons)]


async def test_language_and_groups_are_columns(postgres_url: str) -> None:
    said = make_exchange(language="en", groups=("religion:jews", "gender:women"))
    await write(postgres_url, said, make_exchange(language="und"), make_exchange())
    found = await rows(postgres_url, "SELECT language, groups FROM exchanges ORDER BY id")
    assert sorted(found, key=str) == [
        ("en", ["religion:jews", "gender:women"]),
        ("und", []),
        (None, []),
    ]


async def test_failed_and_abandoned_exchanges_are_recorded(postgres_url: str) -> None:
    failure = Failure("upstream_timeout", "The model did not answer in time.", 504)
    await write(
        postgres_url, make_exchange(reply=None, failure=failure, abandoned=True, seconds={})
    )
    assert await rows(
        postgres_url,
        "SELECT failure_code, failure_message, failure_status, abandoned, duration_seconds"
        " FROM exchanges",
    ) == [("upstream_timeout", failure.message, 504, True, None)]


async def test_without_a_total_the_duration_is_the_sum_of_the_steps(postgres_url: str) -> None:
    await write(postgres_url, make_exchange(seconds={"model": 0.5, "check": 0.25}))
    assert await rows(postgres_url, "SELECT duration_seconds FROM exchanges") == [(0.75,)]


async def test_what_jsonb_cannot_hold_is_replaced_and_counted(postgres_url: str) -> None:
    log = await write(
        postgres_url,
        make_exchange("before\x00after", request={"k\x00": ["\ud800 alone", "\ud83d\ude00"]}),
        make_exchange("a backslash, then u0000: \\u0000"),
    )
    assert (log.stats.written, log.stats.mended, log.stats.rejected) == (2, 2, 0)
    found = await rows(
        postgres_url, "SELECT inputs->0->>'text', request FROM exchanges ORDER BY started_at"
    )
    assert found[0] == ("before�after", {"k�": ["� alone", "😀"]})
    assert found[1][0] == "a backslash, then u0000: \\u0000"


async def test_a_huge_record_is_cut_and_says_where(postgres_url: str) -> None:
    image = "data:image/png;base64," + "A" * 3_000_000
    content = [{"type": "image_url", "image_url": {"url": image}}]
    exchange = make_exchange(
        request={"messages": [{"role": "user", "content": content}]}, uncovered=("an image",)
    )
    log = await write(postgres_url, exchange)
    assert (log.stats.written, log.stats.mended) == (1, 1)
    [(size, uncovered, url)] = await rows(
        postgres_url,
        "SELECT bytes, uncovered, request#>>'{messages,0,content,0,image_url,url}' FROM exchanges",
    )
    assert size < 100_000
    assert uncovered == ["an image", "cut: request.messages[0].content[0].image_url.url"]
    assert url.endswith("A…[cut: 3000022 characters]")


async def test_a_record_that_postgres_refuses_is_put_aside_and_stops_no_other(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    poison = [
        make_exchange(id="not a uuid"),
        make_exchange(usage=Usage(input_tokens="many")),
        make_exchange(attempts=10**10),
        make_exchange().evolve(started_at="the day before"),
    ]
    good = [make_exchange() for _ in range(100)]
    log = await write(
        postgres_url, poison[0], *good[:37], poison[1], poison[2], *good[37:], poison[3]
    )
    assert await count(postgres_url) == 100
    assert (log.stats.written, log.stats.rejected, log.stats.dropped) == (100, 4, 0)
    aside = await rows(postgres_url, "SELECT error, record FROM rejected_records")
    assert len(aside) == 4
    assert all(error.startswith("22") and len(record) > 1000 for error, record in aside)
    assert any(b"not a uuid" in record for _, record in aside)
    assert "not a uuid" not in caplog.text + str(log.stats), "no text of a caller in our own log"


async def test_the_same_exchange_twice_is_one_row(postgres_url: str) -> None:
    exchange = make_exchange()
    await write(postgres_url, exchange, exchange)
    await write(postgres_url, exchange)
    assert await count(postgres_url) == 1


async def test_an_outage_loses_nothing(postgres_url: str, postgres_server: str) -> None:
    log = ExchangeLog(postgres_url, 10_000)
    await log.start()
    log.append(make_exchange())
    await soon(lambda: log.stats.written == 1)
    async with Outage(postgres_server, postgres_url):
        for _ in range(2_500):
            assert log.append(make_exchange())
        await soon(lambda: log.stats.last_error is not None)
        assert log.stats.queued == 2_500
        assert log.stats.lag_seconds > 0
    await soon(lambda: log.stats.written == 2_501)
    await log.stop()
    assert log.stats.dropped == 0
    assert await count(postgres_url) == 2_501


async def test_a_start_before_postgres_is_fine(postgres_url: str, postgres_server: str) -> None:
    async with Outage(postgres_server, postgres_url):
        log = ExchangeLog(postgres_url, 10)
        await log.start()
        assert log.append(make_exchange())
        await soon(lambda: log.stats.last_error is not None)
    await soon(lambda: log.stats.written == 1)
    await log.stop()


async def test_what_is_dropped_is_counted_and_said_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = ExchangeLog(NOWHERE, 5)
    await log.start()
    with caplog.at_level(logging.ERROR):
        taken = [log.append(make_exchange()) for _ in range(8)]
        assert taken == [True] * 5 + [False] * 3
        assert (log.stats.queued, log.stats.dropped) == (5, 3)
        began = time.monotonic()
        await log.stop(drain_seconds=0.3)
        assert time.monotonic() - began < 2
    assert (log.stats.queued, log.stats.dropped) == (0, 8)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "1 dropped so far" in said[0]
    assert "8 dropped so far" in said[-1]
    assert not any("banister" in line for line in said), "no text of a caller in our own log"


async def test_the_queue_is_bounded_by_bytes_too() -> None:
    log = ExchangeLog(NOWHERE, 10_000, queue_bytes=100_000)
    taken = [log.append(make_exchange("x" * 10_000)) for _ in range(20)]
    assert 2 <= sum(taken) <= 4
    assert log.stats.dropped == 20 - sum(taken)


async def test_appending_does_not_wait_for_postgres(postgres_url: str) -> None:
    log = ExchangeLog(postgres_url, 100_000)
    await log.start()
    exchange = make_exchange()
    began = time.perf_counter()
    for _ in range(2 * BATCH_RECORDS):
        log.append(exchange.evolve(id=str(uuid4())))
    each = (time.perf_counter() - began) / (2 * BATCH_RECORDS)
    assert each < 0.0005, f"{each * 1e6:.0f} µs"
    await log.stop()
    assert log.stats.written == 2 * BATCH_RECORDS


async def test_policies_and_templates_are_remembered_once(postgres_url: str) -> None:
    for _ in range(2):
        log = ExchangeLog(postgres_url, 10)
        await log.start()
        log.remember_policy("0123456789ab", "default", "rules: []")
        log.remember_template("feedc0ffee00", "grounded@1", "{{ question }}")
        await log.stop()
    assert await rows(postgres_url, "SELECT hash, name, source FROM policies") == [
        ("0123456789ab", "default", "rules: []")
    ]
    assert await rows(postgres_url, "SELECT hash, name FROM templates") == [
        ("feedc0ffee00", "grounded@1")
    ]


async def test_partitions_are_made_ahead_and_rows_go_to_their_day(postgres_url: str) -> None:
    exchange = make_exchange()
    await write(postgres_url, exchange)
    names = await rows(
        postgres_url, "SELECT relname FROM pg_class WHERE relname ~ '^exchanges_20.*[0-9]$'"
    )
    assert len(names) == 8
    [(table,)] = await rows(postgres_url, "SELECT tableoid::regclass::text FROM exchanges")
    assert table == partition_name(exchange.started_at.date())


async def test_a_row_of_a_day_without_partition_is_kept_and_moves_when_it_is_made(
    postgres_url: str,
) -> None:
    old = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    await write(
        postgres_url,
        *(make_exchange(started_at=old + timedelta(days=days)) for days in (-1, 0, 1)),
        make_exchange(started_at=old + timedelta(microseconds=1)),
    )
    where = "SELECT started_at, tableoid::regclass::text FROM exchanges ORDER BY started_at"
    assert {table for _, table in await rows(postgres_url, where)} == {"exchanges_default"}
    made = await make_partitions_at(postgres_url, old.date(), 2)
    assert made == ["exchanges_2026_01_31", "exchanges_2026_02_01"]
    assert await make_partitions_at(postgres_url, old.date(), 2) == []
    assert [table for _, table in await rows(postgres_url, where)] == [
        "exchanges_default",
        "exchanges_2026_01_31",
        "exchanges_2026_02_01",
        "exchanges_2026_02_01",
    ]


async def test_several_that_make_the_same_partitions_at_once_do_not_fail(
    postgres_url: str,
) -> None:
    day = datetime(2027, 3, 1, tzinfo=UTC).date()
    made = await asyncio.gather(*(make_partitions_at(postgres_url, day, 3) for _ in range(4)))
    assert sorted(sum(made, [])) == [partition_name(day + timedelta(days=n)) for n in range(3)]  # noqa: RUF017
