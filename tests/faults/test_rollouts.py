"""Two proxies under load, one Postgres: a rollback reaches both, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from guardrails.launch.addresses import free_port
from monitoring.rollout import records
from monitoring.rollout.plan import Plan, Step
from monitoring.rollout.records import Rollout
from tests import fakes

POLICY = """
name: rollouts
blocked_message: Declined.
rules:
  - id: block-out
    detector: patterns
    label: forbidden
    stage: [output]
    threshold: 0.5
    action: block
    on_error: block
"""
WATCH = """
import asyncio, sys
from datetime import UTC, datetime
from guardrails.database import make_engine
from monitoring.rollout import watch

async def main():
    engine = make_engine(sys.argv[1])
    await watch.serve(engine, asyncio.Event(), now=lambda: datetime.now(UTC))

asyncio.run(main())
"""
PLAN = Plan(steps=(Step(0.3, 1, 20), Step(0.5, 3_600, 20)))
MOST_SECONDS = 5.0


class Candidate:
    """An upstream that is well until it is poisoned; it knows when each proxy asked it last."""

    def __init__(self) -> None:
        self.poisoned = False
        self.asked: dict[str, list[float]] = defaultdict(list)

    async def step(self, request: fakes.Request, writer: asyncio.StreamWriter) -> None:
        self.asked[request.json["user"]].append(time.time())
        await fakes.chat("xyzzy" if self.poisoned else "well")(request, writer)


@contextlib.contextmanager
def process(*arguments: str, **environment: str):
    started = subprocess.Popen(
        (sys.executable, *arguments),
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextlib.asynccontextmanager
async def proxies(url: str, directory: Path, champion: str, candidate: str) -> AsyncIterator[Any]:
    """Two proxies, ready, each with its own data directory and the same secret."""
    policy = directory / "policy.yaml"
    policy.write_text(POLICY)
    rows = [
        {"name": f"u{v}", "url": at, "model": "small", "version": v, "weight": weight}
        for v, at, weight in (("1", champion, 1), ("2", candidate, 0))
    ]
    with contextlib.ExitStack() as stack:
        addresses = []
        for number in range(2):
            port = free_port()
            addresses.append(f"http://127.0.0.1:{port}")
            stack.enter_context(
                process(
                    *("-m", "guardrails.cli", "proxy", "--alone"),
                    BANISTER_DATA_DIR=str(directory / str(number)),
                    BANISTER_DATABASE_URL=url,
                    BANISTER_PORT=str(port),
                    BANISTER_POLICY=str(policy),
                    BANISTER_DETECTORS='{"patterns": {"words": {"forbidden": ["xyzzy"]}}}',
                    BANISTER_KEY_SECRET="k" * 32,
                    BANISTER_UPSTREAMS=json.dumps(rows),
                )
            )
        async with httpx.AsyncClient(timeout=30) as client:
            for address in addresses:
                async with asyncio.timeout(60):
                    while True:
                        with contextlib.suppress(httpx.HTTPError):
                            if (await client.get(f"{address}/readyz")).status_code == 200:
                                break
                        await asyncio.sleep(0.1)
            yield client, addresses


async def load(client: httpx.AsyncClient, address: str, user: str, stop: asyncio.Event) -> int:
    """Ask without a pause, a new conversation each time; how many were answered."""
    answered = 0
    while not stop.is_set():
        body = {
            "model": "small",
            "user": user,
            "messages": [{"role": "user", "content": f"{answered} of {id(stop)} {os.urandom(4)}"}],
        }
        answer = await client.post(f"{address}/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        answered += 1
        await asyncio.sleep(0.01)
    return answered


async def until(engine, rollout: Rollout, seconds: float = 20.0, **fields: Any) -> Rollout:
    async with asyncio.timeout(seconds):
        while True:
            now = await records.find(engine, rollout.id)
            if all(getattr(now, name) == value for name, value in fields.items()):
                return now
            await asyncio.sleep(0.02)


async def start(engine, candidate_of: str = "small@1") -> Rollout:
    return await records.start(
        engine, model="small", champion=candidate_of, candidate="small@2",
        who="ada", why="w", now=datetime.now(UTC), plan=PLAN,
    )  # fmt: skip


def late(candidate: Candidate, moment: float) -> dict[str, float]:
    """How long after a moment each proxy asked the candidate for the last time."""
    return {user: round(max(times) - moment, 3) for user, times in candidate.asked.items()}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_rollback_reaches_two_proxies_under_load_whoever_is_killed(
    postgres_url, engine, tmp_path
):
    candidate = Candidate()
    stop = asyncio.Event()
    async with fakes.upstream(fakes.chat("well")) as one, fakes.upstream(candidate.step) as two:
        async with proxies(postgres_url, tmp_path, one.url, two.url) as (client, addresses):
            tasks = [
                asyncio.create_task(load(client, address, user, stop))
                for user, address in zip("ab", addresses, strict=True)
                for _ in range(2)
            ]
            rollout = await start(engine)
            with process("-c", WATCH, postgres_url) as first:
                # Midway, at the second step, whoever watches is killed.
                await until(engine, rollout, 60, step=1)
                first.kill()
                first.wait()
            await asyncio.sleep(1.5)
            held = await records.find(engine, rollout.id)
            assert (held.state, held.share) == ("running", 0.5)
            before = {user: len(times) for user, times in candidate.asked.items()}
            assert set(before) == {"a", "b"}
            candidate.poisoned = True
            await asyncio.sleep(2)
            assert (await records.find(engine, rollout.id)).share == 0.5, "nobody watches"
            assert all(len(candidate.asked[user]) > n for user, n in before.items())

            with process("-c", WATCH, postgres_url):
                # The next one goes on, with what was recorded meanwhile.
                over = await until(engine, rollout, 30, state="rolled_back")
                await asyncio.sleep(MOST_SECONDS)
                took = late(candidate, over.updated_at.timestamp())
                print(f"after the kill: asked for the last time after {took} s")
                assert max(took.values()) <= MOST_SECONDS
                assert over.reason.startswith(("block ", "flag "))

                # The same while somebody watches all the time: from the poison to the last request.
                candidate.poisoned = False
                candidate.asked.clear()
                again = await start(engine)
                await until(engine, again, 60, step=1)
                candidate.poisoned, poisoned = True, time.time()
                over = await until(engine, again, 30, state="rolled_back")
                await asyncio.sleep(MOST_SECONDS)
                took = late(candidate, over.updated_at.timestamp())
                whole = late(candidate, poisoned)
                print(f"watched: after {took} s, {whole} s after the first poisoned answer")
                assert max(took.values()) <= MOST_SECONDS

            # And by hand, with nobody who watches.
            candidate.poisoned = False
            candidate.asked.clear()
            third = await start(engine)
            async with asyncio.timeout(20):
                while len(candidate.asked) < 2:
                    await asyncio.sleep(0.02)
            by_hand = time.time()
            await records.roll_back(
                engine, third.id, who="ada", why="by hand", now=datetime.now(UTC)
            )
            await asyncio.sleep(MOST_SECONDS)
            took = late(candidate, by_hand)
            print(f"by hand: asked for the last time after {took} s")
            assert max(took.values()) <= MOST_SECONDS
            stop.set()
            answered = await asyncio.gather(*tasks)
            assert min(answered) > 0
