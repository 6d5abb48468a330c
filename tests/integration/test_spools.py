"""The exchange log with a spool between it and Postgres, written by real processes."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from guardrails.errors import ConfigError, LogUnavailable
from guardrails.exchange_log.segment import segment_path, segments_in
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Exchange
from tests.factories import make_exchange
from tests.integration.test_exchange_log import NOWHERE, Outage, count, rows, soon

DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from guardrails.exchange_log.writer import ExchangeLog
from tests.factories import make_exchange

async def main():
    log = ExchangeLog(sys.argv[1], 10, mode=sys.argv[3], directory=Path(sys.argv[2]))
    await log.start()
    for _ in range(int(sys.argv[4])):
        exchange = make_exchange()
        await log.keep(exchange)
        print(exchange.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def spooled(url: str, directory: Path, **options: object) -> ExchangeLog:
    return ExchangeLog(url, 10, **{"mode": "durable", "directory": directory, **options})  # type: ignore[arg-type]


def died(url: str, directory: Path, records: int) -> list[str]:
    """What a process had kept when it was killed."""
    done = subprocess.run(
        [sys.executable, "-c", DIE, url, str(directory), "durable", str(records)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    ids = done.stdout.split()
    assert len(ids) == records, done.stderr
    return ids


async def ids(url: str) -> list[str]:
    return sorted(str(row[0]) for row in await rows(url, "SELECT id FROM exchanges"))


@pytest.mark.parametrize("mode", ["durable", "fast"])
async def test_what_is_kept_is_written_and_the_spool_goes(
    postgres_url: str, tmp_path: Path, mode: str
):
    log = spooled(postgres_url, tmp_path, mode=mode)
    await log.start()
    exchanges = [make_exchange() for _ in range(300)]
    assert all(await asyncio.gather(*(log.keep(exchange) for exchange in exchanges)))
    log.append(make_exchange("\x00 must be mended"))
    assert await log.keep(make_exchange("\x00 must be mended"))
    await soon(lambda: log.stats.written == 302)
    stats = log.stats
    assert (stats.queued, stats.dropped, stats.mended, stats.lost) == (0, 0, 2, 0)
    assert stats.lag_seconds == 0
    assert await rows(postgres_url, "SELECT position FROM log_spools") == [(302,)]
    await log.stop()
    assert await count(postgres_url) == 302
    assert list(tmp_path.iterdir()) == []
    assert await rows(postgres_url, "SELECT position FROM log_spools") == []


async def test_what_a_killed_process_kept_is_written_by_the_next_once(
    postgres_url: str, tmp_path: Path
):
    kept = [*died(NOWHERE, tmp_path, 50), *died(postgres_url, tmp_path, 200)]
    log = spooled(postgres_url, tmp_path)
    await log.start()
    await soon(lambda: log.stats.orphans == 0)
    await log.stop()
    assert await ids(postgres_url) == sorted(kept)
    assert list(tmp_path.iterdir()) == []
    assert await rows(postgres_url, "SELECT position FROM log_spools") == []


async def test_a_sibling_that_dies_is_taken_over_by_one_that_lives(
    postgres_url: str, tmp_path: Path
):
    logs = [spooled(postgres_url, tmp_path) for _ in range(3)]
    for log in logs:
        await log.start()
    for log in logs:
        await log.keep(make_exchange())
    kept = died(NOWHERE, tmp_path, 20)
    await soon(lambda: sum(log.stats.written for log in logs) == 23, seconds=15)
    for log in logs:
        await log.stop()
    assert set(kept) < set(await ids(postgres_url))
    assert await count(postgres_url) == 23
    assert list(tmp_path.iterdir()) == []


async def test_memory_mode_writes_what_other_modes_left(postgres_url: str, tmp_path: Path):
    kept = died(NOWHERE, tmp_path, 20)
    log = spooled(postgres_url, tmp_path, mode="memory")
    await log.start()
    log.append(make_exchange())
    await soon(lambda: log.stats.written == 21)
    await log.stop()
    assert set(kept) < set(await ids(postgres_url))


async def test_records_of_a_written_position_are_not_written_again(
    postgres_url: str, tmp_path: Path
):
    """A crash after Postgres committed and before the segment was deleted."""
    kept = died(NOWHERE, tmp_path, 30)
    (spool,) = (path for path in tmp_path.iterdir() if path.is_dir())
    await rows_done(
        postgres_url, "INSERT INTO log_spools (id, position) VALUES (%s, 10)", spool.name
    )
    log = spooled(postgres_url, tmp_path)
    await log.start()
    await soon(lambda: log.stats.orphans == 0)
    await log.stop()
    assert await ids(postgres_url) == sorted(kept[10:])


async def rows_done(url: str, query: str, *arguments: object) -> None:
    await rows(url, f"WITH done AS ({query} RETURNING 1) SELECT * FROM done", *arguments)


async def test_an_outage_is_outlasted_on_disk_and_memory_holds_none_of_it(
    postgres_url: str, postgres_server: str, tmp_path: Path
):
    log = spooled(postgres_url, tmp_path)
    await log.start()
    await log.keep(make_exchange())
    await soon(lambda: log.stats.written == 1)
    async with Outage(postgres_server, postgres_url):
        for _ in range(30):
            await asyncio.gather(*(log.keep(make_exchange("x" * 2_000)) for _ in range(100)))
        stats = log.stats
        assert stats.queued == 3_000
        assert stats.spool_bytes > 3_000 * 4_000
        assert stats.lag_seconds > 0
        assert log._batch.records == [] or len(log._batch.records) < 500
    await soon(lambda: log.stats.written == 3_001, seconds=20)
    await log.stop()
    assert await count(postgres_url) == 3_001


async def test_what_could_not_be_written_before_the_end_waits_for_the_next_start(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    log = spooled(NOWHERE, tmp_path)
    await log.start()
    kept = [make_exchange() for _ in range(10)]
    for exchange in kept:
        await log.keep(exchange)
    await soon(lambda: log.stats.last_error is not None)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await log.stop()
    assert time.monotonic() - began < 3
    assert "10 records stay in the spool" in caplog.text
    assert log.stats.dropped == 0
    log = spooled(postgres_url, tmp_path)
    await log.start()
    await soon(lambda: log.stats.written == 10)
    await log.stop()
    assert await ids(postgres_url) == sorted(exchange.id for exchange in kept)


async def test_a_full_spool_refuses_or_goes_on_as_was_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    refusing = spooled(NOWHERE, tmp_path / "a", spool_bytes=100_000, refuse=True)
    going_on = spooled(NOWHERE, tmp_path / "b", spool_bytes=100_000)
    for log in (refusing, going_on):
        await log.start()
        log.admit()
        while log.trouble is None:
            await log.keep(make_exchange())
        assert log.trouble == "the spool is full"
    with pytest.raises(LogUnavailable):
        refusing.admit()
    going_on.admit()
    with pytest.raises(LogUnavailable):
        for _ in range(100):
            await refusing.keep(make_exchange())
    with caplog.at_level(logging.ERROR):
        assert not all([await going_on.keep(make_exchange()) for _ in range(100)])
    assert "exchanges are not recorded" in caplog.text
    assert (refusing.stats.refused, refusing.stats.dropped) == (2, 0)
    assert going_on.stats.dropped > 0
    for log in (refusing, going_on):
        await log.stop()


async def test_a_damaged_segment_costs_what_was_in_it_and_postgres_remembers(
    postgres_url: str, tmp_path: Path
):
    kept = died(NOWHERE, tmp_path, 20)
    (spool,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (first,) = segments_in(spool)
    path = segment_path(spool, first)
    data = bytearray(path.read_bytes())
    at = data.index(kept[7].encode())
    data[at + 50] ^= 255
    path.write_bytes(data)
    log = spooled(postgres_url, tmp_path)
    await log.start()
    await soon(lambda: log.stats.orphans == 0)
    await log.stop()
    assert log.stats.lost == 1
    assert log.stats.damaged_bytes > 100
    assert await ids(postgres_url) == sorted(kept[:7] + kept[8:])
    assert await rows(postgres_url, "SELECT id::text, lost FROM log_spools") == [(spool.name, 1)]
    (aside,) = (tmp_path / "damaged").iterdir()
    assert kept[7].encode() in aside.read_bytes()


async def test_a_poisoned_record_moves_the_position_too(postgres_url: str, tmp_path: Path):
    log = spooled(postgres_url, tmp_path)
    await log.start()
    exchanges: list[Exchange] = [make_exchange() for _ in range(9)]
    exchanges.insert(4, make_exchange(id="no uuid"))
    exchanges.append(make_exchange(id="no uuid either"))
    for exchange in exchanges:
        await log.keep(exchange)
    await soon(lambda: log.stats.queued == 0)
    assert (log.stats.written, log.stats.rejected) == (9, 2)
    assert await rows(postgres_url, "SELECT position FROM log_spools") == [(11,)]
    await log.stop()


async def test_a_directory_that_cannot_be_used_stops_the_start(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="spool directory"):
        await spooled(NOWHERE, tmp_path / "file").start()


async def test_keeping_waits_for_the_disk_only(postgres_url: str, tmp_path: Path):
    log = spooled(NOWHERE, tmp_path)
    await log.start()
    exchange = make_exchange()
    began = time.perf_counter()
    for _ in range(50):
        await log.keep(exchange.evolve(id=str(uuid4())))
    assert (time.perf_counter() - began) / 50 < 0.1
    await log.stop()
