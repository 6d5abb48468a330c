"""Under overload those who have begun come to their end, and the others are told at the door."""

from __future__ import annotations

import asyncio

import pytest

from guardrails.errors import GuardUnavailable
from guardrails.inference.turns import Turns


class Worker:
    """Scores one text after another, each in the same time."""

    def __init__(self, seconds_a_text: float) -> None:
        self._seconds = seconds_a_text
        self._free_at = 0.0
        self.longest_wait = 0.0

    async def score(self, texts: int) -> None:
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time()) + texts * self._seconds
        wait = self._free_at - loop.time()
        self.longest_wait = max(self.longest_wait, wait)
        await asyncio.sleep(wait)


async def answered(turns: Turns, worker: Worker, deadline: float, pieces: int) -> str:
    """One stream: its request is checked, then its answer piece by piece; what became of it."""
    begun = False
    for _ in range(pieces + 1):
        asked = asyncio.get_running_loop().time()
        try:
            async with turns.turn(2, begun=begun, seconds=deadline if begun else deadline / 2):
                left = deadline - (asyncio.get_running_loop().time() - asked)
                async with asyncio.timeout(left):
                    await worker.score(2)
        except (GuardUnavailable, TimeoutError):
            return "broken" if begun else "refused"
        begun = True
    return "ended"


async def test_of_a_burst_that_is_too_much_every_stream_that_began_ends():
    # 300 streams want 300 · 11 · 2 texts; in the deadline of 0.4 s the worker scores 400.
    worker, turns = Worker(0.001), Turns(most_texts=16)
    seen = await asyncio.gather(*(answered(turns, worker, 0.4, 10) for _ in range(300)))
    assert seen.count("broken") == 0
    assert seen.count("ended") > 10
    assert seen.count("refused") > 100
    # What is out is short, so nobody waits for long behind it.
    assert worker.longest_wait < 0.2


async def test_texts_of_what_has_begun_go_first():
    turns, order = Turns(most_texts=1), []

    async def take(name: str, *, begun: bool) -> None:
        async with turns.turn(1, begun=begun, seconds=5):
            order.append(name)
            await asyncio.sleep(0)

    async with turns.turn(1, begun=False, seconds=5):
        waiting = [
            asyncio.ensure_future(take(name, begun=begun))
            for name, begun in (("new 1", False), ("new 2", False), ("begun", True))
        ]
        await asyncio.sleep(0.01)
    await asyncio.gather(*waiting)
    assert order == ["begun", "new 1", "new 2"]


@pytest.mark.parametrize("how", ["too late", "gone"])
async def test_who_gives_up_leaves_his_turn_to_the_next(how: str):
    turns = Turns(most_texts=1)

    async def take(seconds: float) -> str:
        async with turns.turn(1, begun=True, seconds=seconds):
            return "done"

    async with turns.turn(1, begun=True, seconds=5):
        first = asyncio.ensure_future(take(0.01 if how == "too late" else 5))
        second = asyncio.ensure_future(take(5))
        await asyncio.sleep(0.05)
        if how == "gone":
            first.cancel()
    with pytest.raises(GuardUnavailable if how == "too late" else asyncio.CancelledError):
        await first
    assert await second == "done"
    assert await take(0.01) == "done"


async def test_who_is_cancelled_as_his_turn_comes_gives_it_back():
    turns = Turns(most_texts=1)

    async def take() -> None:
        async with turns.turn(1, begun=True, seconds=5):
            pass

    async with turns.turn(1, begun=True, seconds=5):
        waiting = asyncio.ensure_future(take())
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(1):
        await take()


async def test_more_texts_than_there_are_turns_go_when_it_is_their_turn():
    turns = Turns(most_texts=4)
    async with turns.turn(400, begun=False, seconds=1):
        with pytest.raises(GuardUnavailable):
            async with turns.turn(1, begun=True, seconds=0.01):
                pass
    async with turns.turn(1, begun=False, seconds=0.01):
        pass
