"""What a process knows follows Postgres, by notices and by polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from guardrails.database.following import Following
from guardrails.database.url import libpq_url


async def until(what: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.01)


class Seen:
    """Counts its loads; `fault` is raised by the next one."""

    def __init__(self) -> None:
        self.loads = 0
        self.fault: Exception | None = None

    async def load(self, connection: psycopg.AsyncConnection) -> None:
        await connection.execute("SELECT 1")
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        self.loads += 1


@pytest.mark.parametrize(("poll_seconds", "notice"), [(60.0, True), (0.05, False)])
async def test_a_change_is_loaded_by_its_notice_or_by_a_poll(
    postgres_url: str, poll_seconds: float, notice: bool
):
    seen = Seen()
    following = Following(
        postgres_url, "test_rows", seen.load, what="rows", poll_seconds=poll_seconds
    )
    await following.start()
    assert (following.loaded, following.stale) == (True, False)
    before = seen.loads
    if notice:
        async with await psycopg.AsyncConnection.connect(
            libpq_url(postgres_url), autocommit=True
        ) as connection:
            await connection.execute("NOTIFY test_rows")
    await until(lambda: seen.loads > before)
    await following.stop()


async def test_a_load_that_failed_is_tried_again(postgres_url: str):
    seen = Seen()
    seen.fault = psycopg.OperationalError("gone")
    following = Following(postgres_url, "test_rows", seen.load, what="rows", poll_seconds=60.0)
    await following.start()
    assert seen.loads == 1
    await following.stop()


async def test_without_postgres_nothing_is_known_and_that_is_said():
    seen = Seen()
    nowhere = "postgresql://postgres@127.0.0.1:1/none"
    following = Following(
        nowhere, "rows", seen.load, what="rows", poll_seconds=1.0, first_seconds=0.2
    )
    await following.start()
    assert (following.loaded, following.stale, seen.loads) == (False, True, 0)
    await following.stop()
