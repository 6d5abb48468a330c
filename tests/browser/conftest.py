"""The dashboards as a process over a day of traffic, and a real Chromium before them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.findings import find
from tests.browser.office import furnish
from tests.browser.traffic import a_day, write

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def dashboards(database_url: str, data_dir: Path) -> Iterator[str]:
    """`python -m dashboards.serve` on a free port, until the block ends."""
    port = free_port()
    environment = {
        **os.environ,
        "BANISTER_DATABASE_URL": database_url,
        "BANISTER_DATA_DIR": str(data_dir),
        "BANISTER_DASHBOARD_PORT": str(port),
        "BANISTER_HOST": "127.0.0.1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "dashboards.serve"], env=environment, stderr=subprocess.PIPE
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
                break
            except (URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise RuntimeError(process.communicate()[1].decode()) from None
                time.sleep(0.1)
        yield address
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert (process.returncode, said.decode()) == (0, "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="session")
def day_database(make_database: Callable[..., str]) -> str:
    url, now = make_database(), datetime.now(UTC)
    asyncio.run(write(url, a_day(now, 400)))
    asyncio.run(furnish(url, now))
    asyncio.run(find(url, now))
    return url


@pytest.fixture(scope="session")
def day_address(day_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dashboards(day_database, tmp_path_factory.mktemp("dashboard")) as address:
        yield address


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(ARGUMENTS)
        )
        yield browser
        await browser.close()


class Visit:
    """A page, and what it did that no page of ours may do."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.faults: list[str] = []
        page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._requested)

    def _requested(self, request: object) -> None:
        if not request.url.startswith(self.address):
            self.faults.append(f"request: {request.url}")

    async def open(self, path: str = "/") -> Page:
        await self.page.goto(self.address + path)
        return self.page


@pytest.fixture
async def visit(browser: Browser, day_address: str) -> AsyncIterator[Callable[..., object]]:
    """A function that opens a window: `await visit(color_scheme="dark")`; faults fail the test."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    async def make(address: str = day_address, **options: object) -> Visit:
        context = await browser.new_context(**options)
        contexts.append(context)
        visits.append(Visit(await context.new_page(), address))
        return visits[-1]

    yield make
    for context in contexts:
        await context.close()
    assert [fault for one in visits for fault in one.faults] == []
