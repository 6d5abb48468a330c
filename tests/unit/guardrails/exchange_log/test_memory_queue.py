from __future__ import annotations

from guardrails.exchange_log.insert import BATCH_RECORDS, Inserter
from guardrails.exchange_log.memory_queue import MemoryQueue

NOBODY = Inserter("postgresql://nowhere/none", lambda said: None)


async def test_it_is_bounded_by_records_and_warns_before():
    queue = MemoryQueue(20, 2**20, lambda: None)
    taken = [queue.put(b"x") for _ in range(25)]
    assert taken == [True] * 20 + [False] * 5
    batch = await queue.take(NOBODY)
    assert batch is not None
    assert (queue.waiting, queue.work) == (20, False)
    assert queue.trouble == "Postgres is away and the queue is full"
    await queue.done(batch, 3)
    assert (queue.waiting, queue.trouble) == (17, None)
    assert len(batch.records) == 17


async def test_it_is_bounded_by_bytes():
    queue = MemoryQueue(1_000, 1_000, lambda: None)
    assert [await queue.keep(b"x" * 400) for _ in range(4)] == [True, True, True, False]


async def test_a_batch_is_bounded_and_the_age_is_that_of_the_oldest():
    told = []
    queue = MemoryQueue(10_000, 2**20, lambda: told.append(1))
    assert queue.lag_seconds == 0
    for _ in range(BATCH_RECORDS + 1):
        queue.put(b"x")
    assert queue.full_batch
    assert len(told) == BATCH_RECORDS + 1
    batch = await queue.take(NOBODY)
    assert batch is not None
    assert len(batch.records) == BATCH_RECORDS
    assert queue.lag_seconds > 0
    assert queue.clear() == BATCH_RECORDS + 1
    assert (queue.waiting, queue.lag_seconds) == (0, 0)
    assert await queue.take(NOBODY) is None
