from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guardrails.exchange_log import spool as module
from guardrails.exchange_log.segment import MOST_LINE_BYTES, segments_in
from guardrails.exchange_log.spool import Spool
from guardrails.exchange_log.spool_reader import SpoolReader


@asynccontextmanager
async def opened(directory: Path, **options: object) -> AsyncIterator[Spool]:
    spool = Spool(directory, **{"most_bytes": 2**30, "spare_disk_bytes": 0, **options})  # type: ignore[arg-type]
    spool.start()
    yield spool
    await spool.close()


@asynccontextmanager
async def full_disk(most_bytes: int = 0) -> AsyncIterator[None]:
    """No file of this process may grow beyond some bytes: writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def read_all(directory: Path) -> list[bytes]:
    reader = SpoolReader(directory)
    lines: list[bytes] = []
    while records := reader.read():
        lines += [line for _, line in records]
    assert reader.lost == 0
    return lines


async def soon(true: object, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_a_kept_line_is_on_disk_when_keep_returns(tmp_path: Path):
    async with opened(tmp_path) as spool:
        for number in range(20):
            assert await spool.keep(b"%d" % number)
            assert spool.end.number == number + 1
            assert read_all(tmp_path)[-1] == b"%d" % number


async def test_all_who_wait_share_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    writes = []
    real = os.pwritev

    def counted(*arguments: object) -> int:
        writes.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module.os, "pwritev", counted)
    async with opened(tmp_path) as spool:
        kept = await asyncio.gather(*(spool.keep(b"x" * 100) for _ in range(500)))
    assert all(kept)
    assert len(read_all(tmp_path)) == 500
    assert len(writes) < 20


async def test_who_is_cancelled_leaves_the_record(tmp_path: Path):
    async with opened(tmp_path) as spool:
        tasks = [asyncio.create_task(spool.keep(b"%d" % number)) for number in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        assert all(await asyncio.gather(*tasks[1::2]))
    assert len(read_all(tmp_path)) == 10


async def test_without_a_waiter_it_is_on_disk_within_50_ms(tmp_path: Path):
    async with opened(tmp_path, linger_seconds=0.01) as spool:
        assert spool.put(b"line")
        began = time.monotonic()
        await soon(lambda: spool.end.number == 1)
        assert time.monotonic() - began < 0.5
        assert spool.pending == 0


async def test_a_full_segment_gives_way_to_the_next(tmp_path: Path):
    async with opened(tmp_path, segment_bytes=1_000) as spool:
        for number in range(50):
            await spool.keep(b"%03d" % number + b"x" * 97)
        size = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert spool.held_bytes == size
    assert len(segments_in(tmp_path)) == 7
    assert [line[:3] for line in read_all(tmp_path)] == [b"%03d" % n for n in range(50)]


async def test_the_spool_is_bounded_and_warns_before(tmp_path: Path):
    async with opened(tmp_path, most_bytes=10_000) as spool:
        taken = 0
        while await spool.keep(b"x" * 480):
            taken += 1
            if spool.held_bytes < 9_000:
                assert spool.trouble is None
            else:
                assert spool.trouble == "the spool is full"
        assert taken == 20
        spool.freed(5_000)
        assert spool.trouble is None
        assert await spool.keep(b"x")
        spool.others = 6_000
        assert spool.trouble == "the spool is full"


async def test_a_spool_that_is_full_and_written_can_be_emptied(tmp_path: Path):
    """No segment is so large that the one that is written to could fill it."""
    async with opened(tmp_path, most_bytes=16_000) as spool:
        while spool.trouble is None:
            assert await spool.keep(b"x" * 480)
        reader = SpoolReader(tmp_path, end=lambda: spool.end)
        while reader.read():
            spool.freed(reader.written(reader.number))
        assert spool.trouble is None
        assert spool.held_bytes <= 2_000


async def test_a_disk_that_is_almost_full_is_said_before_it_is(tmp_path: Path):
    async with opened(tmp_path, spare_disk_bytes=2**60) as spool:
        await soon(lambda: spool.trouble is not None)
        assert spool.trouble == "the disk of the spool is almost full"
        assert await spool.keep(b"what is under way is still taken")


async def test_who_waits_is_told_of_a_full_disk_and_it_recovers_by_itself(tmp_path: Path):
    async with opened(tmp_path) as spool:
        assert await spool.keep(b"before" * 100)
        async with full_disk(most_bytes=700):
            assert not await spool.keep(b"during" * 200)
            assert spool.trouble is not None
        await soon(lambda: spool.trouble is None)
        assert await spool.keep(b"after")
    assert [line[:6] for line in read_all(tmp_path)] == [b"before", b"after"]


async def test_what_nobody_waits_for_is_tried_again_until_it_can_be_written(tmp_path: Path):
    async with opened(tmp_path, linger_seconds=0.001) as spool:
        async with full_disk():
            for number in range(50):
                assert spool.put(b"%d" % number)
            await soon(lambda: spool.trouble is not None)
        await soon(lambda: spool.end.number == 50)
    assert read_all(tmp_path) == [b"%d" % number for number in range(50)]


async def test_a_line_that_could_not_be_read_again_is_not_taken(tmp_path: Path):
    async with opened(tmp_path) as spool:
        assert not await spool.keep(bytes(MOST_LINE_BYTES + 1))
        assert await spool.keep(b"x" * MOST_LINE_BYTES)
    assert len(read_all(tmp_path)) == 1


async def test_after_its_end_nothing_is_taken(tmp_path: Path):
    async with opened(tmp_path) as spool:
        await spool.keep(b"x")
    assert not spool.put(b"y")
    assert not await spool.keep(b"z")
    await spool.close()


async def test_the_event_loop_goes_on_while_the_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = os.pwritev

    def slow(*arguments: object) -> int:
        time.sleep(0.2)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module.os, "pwritev", slow)
    async with opened(tmp_path) as spool:
        keeping = asyncio.create_task(spool.keep(b"x"))
        turns = 0
        while not keeping.done():
            await asyncio.sleep(0.005)
            turns += 1
    assert turns > 15
