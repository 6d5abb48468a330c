"""How long does a piece of work hold the event loop?"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

TRIES = 3


async def longest_hold(work: Callable[[], Awaitable[object]], tries: int = TRIES) -> float:
    """Processor seconds of the longest hold, in the calmest of some runs of the same work.

    Whatever holds the loop by its nature does so in each run; a busy machine, or what is made ready
    once, does not.
    """
    gc.collect()
    # The garbage of a whole test run would be counted as ours.
    gc.disable()
    try:
        return min([await _longest(work) for _ in range(tries)])
    finally:
        gc.enable()


async def _longest(work: Callable[[], Awaitable[object]]) -> float:
    longest, ended = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ended:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        await work()
    finally:
        ended = True
        await watcher
    return longest
