"""How long do the dashboards' pages take over HTTP, on a log of millions?

The dashboards run in this process, under uvicorn, and a client on the same machine asks them. The
first time is that of a process that has drawn no chart yet. Their clock moves on with each request,
so that none is answered with what another one read.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr
from sqlalchemy import text

from dashboards.app import create
from dashboards.kept import AGE
from guardrails.database import make_engine
from guardrails.settings import Settings

PAGES = (
    "/",
    "/?span=7d",
    "/exchanges",
    "/exchanges?decision=block",
    "/exchanges?text=banister&span=7d",
    "/exchanges?text=%22the+handrail%22&span=7d",
    "/exchanges/{blocked}",
    "/safety",
    "/safety?span=7d",
    "/grounding",
    "/policies",
    "/alerts",
    "/drift",
    "/health",
    "/review",
)


async def ask_pages(url: str, end: datetime, rounds: int) -> dict[str, dict[str, float]]:
    """Each page once, then `rounds` times: milliseconds until it was whole, and its size in kB."""
    clock = _Clock(end + timedelta(minutes=1))
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            database_url=url, data_dir=Path(directory), key_secret=SecretStr("s" * 40)
        )
        config = uvicorn.Config(create(settings, now=clock.read), port=0, log_level="warning")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                blocked = await _blocked(url)
                return {
                    page: await _timed(client, clock, page.format(blocked=blocked), rounds)
                    for page in PAGES
                }
        finally:
            server.should_exit = True
            await serving


class _Clock:
    def __init__(self, begin: datetime) -> None:
        self.begin, self.moved = begin, timedelta()

    def read(self) -> datetime:
        return self.begin + self.moved


async def _timed(
    client: httpx.AsyncClient, clock: _Clock, page: str, rounds: int
) -> dict[str, float]:
    taken = []
    for number in range(rounds + 1):
        clock.moved = 1.2 * AGE * number
        began = time.perf_counter()
        answer = await client.get(page)
        taken.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
    first, *again = taken
    again.sort()
    return {
        "first_ms": first,
        "p50_ms": statistics.median(again),
        "p95_ms": again[min(len(again) - 1, round(0.95 * len(again)))],
        "kilobytes": len(answer.content) / 1000,
    }


async def _blocked(url: str) -> Any:
    engine = make_engine(url)
    query = "SELECT id FROM exchanges WHERE decision = 'block' ORDER BY started_at DESC LIMIT 1"
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text(query))).scalar_one()
    finally:
        await engine.dispose()
