"""After any fault: every exchange that was answered is recorded, each once.

The short form runs with the other tests. `BANISTER_FAULT_ROUNDS=100 pytest tests/faults` kills a
hundred times; `BANISTER_FAULT_SEED` repeats a run's random choices.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from guardrails.database.url import libpq_url
from guardrails.exchange_log.segment import segment_path, segments_in
from guardrails.exchange_log.writer import ExchangeLog
from tests import fakes
from tests.factories import make_exchange
from tests.faults.rig import Load, Proxy, Server, Wire, ask, compare, recorded

ROUNDS = int(os.environ.get("BANISTER_FAULT_ROUNDS", "2"))
LONG = ROUNDS > 2
pytestmark = pytest.mark.timeout(120 + 20 * ROUNDS)

Make = Callable[..., Proxy]


async def test_a_proxy_that_is_killed_at_random_points_loses_nothing(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    proxy = make_proxy(url)
    load = Load([proxy.port], rng)
    async with load.running():
        for _ in range(ROUNDS):
            await proxy.ready()
            await load.until_answered(1)
            await asyncio.sleep(rng.uniform(0, 0.8))
            proxy.kill()
            proxy.start()
        await proxy.ready()
        await load.until_answered(1)
    log = await proxy.written()
    assert (log["lost"], log["dropped"], log["rejected"]) == (0, 0, 0)
    compare(url, load)
    print(f"{ROUNDS} kills, {load.asked} asked, {len(load.answered)} answered and recorded")


async def test_two_proxies_side_by_side_take_over_for_each_other(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    first, second = make_proxy(url), make_proxy(url, workers=2 if LONG else 1)
    load = Load([first.port, second.port], rng)
    async with load.running():
        for _ in range(max(1, ROUNDS // 5)):
            await first.ready()
            await second.ready()
            await load.until_answered(50)
            victim = rng.choice([first, second])
            victim.kill()
            await load.until_answered(50)
            victim.start()
        await first.ready()
        await second.ready()
    for proxy in (first, second):
        await proxy.written()
    compare(url, load)


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
    ids=["crash", "stop"],
)
async def test_a_postgres_that_ends_under_load_delays_and_loses_nothing(
    server: Server, make_proxy: Make, rng: random.Random, number: signal.Signals
):
    url = server.database()
    proxy = make_proxy(url)
    load = Load([proxy.port], rng)
    await proxy.ready()
    async with load.running():
        for _ in range(max(1, ROUNDS // 10)):
            await load.until_answered(50)
            await asyncio.to_thread(server.kill, number)
            try:
                await load.until_answered(50)
                await asyncio.sleep(rng.uniform(0.5, 60 if LONG else 1.5))
                log = (await proxy.ready())["log"]
                assert log["queued"] > 0
                assert log["trouble"] is None
            finally:
                await asyncio.to_thread(server.start)
    log = await proxy.written()
    assert log["dropped"] == 0
    assert load.statuses[503] == 0
    compare(url, load)


@pytest.mark.slow
async def test_proxy_and_postgres_that_are_killed_together_lose_nothing(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    proxy = make_proxy(url)
    load = Load([proxy.port], rng)
    async with load.running():
        for _ in range(max(1, ROUNDS // 10)):
            await proxy.ready()
            await load.until_answered(30)
            await asyncio.to_thread(server.kill, signal.SIGKILL)
            await load.until_answered(30)
            proxy.kill()
            await asyncio.to_thread(server.start)
            proxy.start()
        await proxy.ready()
    await proxy.written()
    compare(url, load)


async def test_a_network_that_is_cut_or_deaf_writes_each_once(
    server: Server, make_proxy: Make, rng: random.Random
):
    """Deaf: Postgres commits, and the writer never hears of it."""
    url = server.database()
    wire = Wire(url)
    proxy = make_proxy(await wire.start())
    load = Load([proxy.port], rng)
    await proxy.ready()
    async with load.running():
        for _ in range(max(2, ROUNDS // 5)):
            await load.until_answered(30)
            wire.deaf = rng.random() < 0.7
            await asyncio.sleep(rng.uniform(0.1, 0.5))
            wire.cut()
            await asyncio.sleep(rng.uniform(0.1, 0.5))
            wire.mend()
    log = await proxy.written()
    assert log["last_error"] is not None
    compare(url, load)
    proxy.kill()
    await wire.stop()


@pytest.mark.parametrize("full", ["refuse", "continue"])
async def test_a_full_disk_is_refused_or_told_and_nothing_answered_is_missing(
    server: Server, make_proxy: Make, rng: random.Random, full: str
):
    url = server.database()
    proxy = make_proxy(url, log_full=full)
    load = Load([proxy.port], rng)
    await proxy.ready()
    async with load.running():
        for _ in range(max(1, ROUNDS // 5)):
            await load.until_answered(50)
            proxy.fill_disk()
            await asyncio.sleep(rng.uniform(0.3, 1.0))
            ready = await proxy.ready()
            assert "cannot be written" in ready["log"]["trouble"]
            assert ready["ready"] is (full == "continue")
            proxy.free_disk()
            await load.until_answered(50)
    log = await proxy.written()
    assert log["trouble"] is None
    compare(url, load, dropped=log["dropped"])
    if full == "refuse":
        assert load.statuses[503] > 0
        assert not load.unrecorded
        assert log["refused"] > 0
        assert log["dropped"] == 0
    else:
        assert load.statuses[503] == 0
        assert load.unrecorded


async def test_a_full_spool_refuses_before_the_model_until_postgres_is_back(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    wire = Wire(url)
    proxy = make_proxy(await wire.start(), log_spool_bytes=2**20)
    load = Load([proxy.port], rng, pad=4_000)
    await proxy.ready()
    async with load.running():
        await load.until_answered(10)
        wire.cut()
        async with asyncio.timeout(60):
            while not load.statuses[503]:
                await asyncio.sleep(0.05)
        assert (await proxy.ready())["log"]["trouble"] == "the spool is full"
        wire.mend()
        await load.until_answered(50)
    await proxy.written()
    compare(url, load)
    size = sum(path.stat().st_size for path in (proxy.directory.parent / "spool").rglob("*.seg"))
    assert size < 2**20
    proxy.kill()
    await wire.stop()


async def test_a_damaged_and_a_torn_segment_cost_what_was_in_them_and_it_is_told(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    wire = Wire(url)
    proxy = make_proxy(await wire.start())
    load = Load([proxy.port], rng)
    await proxy.ready()
    async with load.running():
        await load.until_answered(20)
        wire.cut()
        await load.until_answered(150)
        proxy.kill()
    wire.mend()
    spools = (proxy.directory.parent / "spool").iterdir()
    (spool,) = (path for path in spools if path.is_dir() and segments_in(path))
    path = segment_path(spool, segments_in(spool)[-1])
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data) // 2, len(data) * 3 // 4)
    print(f"damaged at {at} of {len(data)}")
    data[at] ^= 1 << rng.randrange(8)
    # What a crash of the machine leaves of a group that nobody was answered for.
    path.write_bytes(data + data[: rng.randrange(1, 300)][:-1])
    proxy.start()
    log = await proxy.written()
    assert log["lost"] == 1
    missing = load.answered - set(recorded(url))
    # The damaged one may be one whose caller had gone before its answer.
    assert len(missing) <= 1
    assert all(name in proxy.log() for name in missing)
    assert list((proxy.directory.parent / "spool" / "damaged").iterdir())
    proxy.kill()
    await wire.stop()


@pytest.mark.parametrize("mode", ["durable", "fast"])
async def test_a_clock_that_steps_back_an_hour_changes_nothing(
    server: Server, tmp_path: Path, mode: str
):
    url = server.database()
    log = ExchangeLog(url, 10, mode=mode, directory=tmp_path)  # type: ignore[arg-type]
    await log.start()
    now = datetime.now(UTC)
    steps = [timedelta(hours=1), timedelta(0), timedelta(hours=-1), timedelta(days=-40)]
    exchanges = [
        make_exchange(started_at=now + step + timedelta(milliseconds=n))
        for step in steps
        for n in range(50)
    ]
    for exchange in exchanges:
        assert await log.keep(exchange)
    async with asyncio.timeout(20):
        while log.stats.written < len(exchanges):
            await asyncio.sleep(0.02)
    await log.stop()
    assert recorded(url) == dict.fromkeys((exchange.id for exchange in exchanges), 1)


SLOW_RULE = """
  - id: slow
    detector: slow
    label: bad
    stage: [input]
    threshold: 0.5
    action: block
    on_error: allow
"""


async def test_a_detector_that_never_answers_delays_and_every_exchange_says_so(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    async with fakes.upstream(fakes.slow(60)) as silent:
        slow = {"kind": "remote", "api": "detectors", "url": silent.url, "labels": ["bad"]}
        options = {"detector_id": "slow", "timeout_seconds": 0.4}
        proxy = make_proxy(url, rules=SLOW_RULE, detectors={"slow": slow | options})
        load = Load([proxy.port], rng)
        await proxy.ready()
        async with load.running():
            await load.until_answered(20)
            proxy.kill()
            proxy.start()
            await proxy.ready()
            await load.until_answered(20)
        await proxy.written()
    compare(url, load)
    with psycopg.connect(libpq_url(url)) as connection:
        [(said,)] = connection.execute(
            "SELECT count(*) FROM exchanges WHERE checks @? '$[*] ? (@.detector == \"slow\").error'"
        ).fetchall()
    assert said >= 20


async def test_callers_that_go_away_at_any_moment_leave_one_record_each(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    async with fakes.upstream(fakes.slow(0.2, fakes.chat("It is. " * 50))) as model:
        upstreams = json.dumps([{"name": "u", "url": model.url, "model": "small"}])
        proxy = make_proxy(url, upstreams=upstreams)
        await proxy.ready()
        body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "Hi"}]})

        async def leave(after: float) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(after):
                    await ask(proxy.port, "POST", "/v1/chat/completions", body.encode())

        gone = 40 * (5 if LONG else 1)
        await asyncio.gather(*(leave(rng.uniform(0.05, 0.19)) for _ in range(gone)))
        await asyncio.sleep(0.5)
        await proxy.written()
        with psycopg.connect(libpq_url(url)) as connection:
            [(rows, abandoned)] = connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE abandoned) FROM exchanges"
            ).fetchall()
        assert rows == abandoned > 0
        assert len(model.requests) <= rows <= gone
    assert max(recorded(url).values()) == 1


@pytest.mark.slow
async def test_memory_is_flat_while_postgres_is_away(
    server: Server, make_proxy: Make, rng: random.Random
):
    url = server.database()
    proxy = make_proxy(url)
    load = Load([proxy.port], rng, pad=20_000)
    await proxy.ready()
    async with load.running():
        await load.until_answered(300)
        await asyncio.to_thread(server.kill, signal.SIGINT)
        try:
            await load.until_answered(100)
            before = proxy.resident_mb()
            await load.until_answered(5_000 if LONG else 500, seconds=300)
            after = proxy.resident_mb()
            held = (await proxy.ready())["log"]["spool_bytes"] / 2**20
        finally:
            await asyncio.to_thread(server.start)
    print(f"{before:.0f} MB, then {after:.0f} MB with {held:.0f} MB on disk")
    assert held > 20
    assert after < before * 1.05 + 4
    await proxy.written()
    compare(url, load)
