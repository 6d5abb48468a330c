"""What keeps a silent stream open."""

from __future__ import annotations

import asyncio

from guardrails.streams.heartbeat import HELD, Heartbeat


class Caller:
    def __init__(self, reads: bool = True) -> None:
        self.heard: list[bytes] = []
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()

    async def write(self, data: bytes) -> None:
        self.heard.append(data)
        await self.reads.wait()


async def test_silence_is_filled_with_comments_and_only_silence():
    caller = Caller()
    heartbeat = Heartbeat(caller.write, 0.1)
    heartbeat.start()
    for _ in range(6):
        await heartbeat.write(b"x")
        await asyncio.sleep(0.03)
    assert HELD not in caller.heard
    await asyncio.sleep(0.35)
    await heartbeat.stop()
    assert 2 <= caller.heard.count(HELD) <= 4


async def test_nothing_is_sent_before_the_start_nor_after_the_stop():
    caller = Caller()
    heartbeat = Heartbeat(caller.write, 0.02)
    await asyncio.sleep(0.06)
    assert caller.heard == []
    heartbeat.start()
    await heartbeat.stop()
    await asyncio.sleep(0.06)
    assert caller.heard == []


async def test_a_caller_who_does_not_read_gets_no_comments_on_top():
    caller = Caller(reads=False)
    heartbeat = Heartbeat(caller.write, 0.02)
    heartbeat.start()
    writing = asyncio.create_task(heartbeat.write(b"x"))
    await asyncio.sleep(0.1)
    assert caller.heard == [b"x"]
    caller.reads.set()
    await writing
    await asyncio.sleep(0.06)
    assert HELD in caller.heard
    await heartbeat.stop()


async def test_one_comment_waits_for_the_one_before():
    caller = Caller(reads=False)
    heartbeat = Heartbeat(caller.write, 0.02)
    heartbeat.start()
    await asyncio.sleep(0.15)
    assert caller.heard == [HELD]
    await heartbeat.stop()
