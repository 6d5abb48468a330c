"""The pictures of docs/dashboards.md, taken anew: `python -m tests.browser.pictures`.

Each is a page over the seeded day of the browser tests, in a window of 1280 × 820 pixels.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import async_playwright

from guardrails.database import migrate
from guardrails.database.embedded import start_embedded
from tests.browser.conftest import ARGUMENTS, CHROMIUM, dashboards
from tests.browser.findings import DETAILS, find, path_of
from tests.browser.office import furnish
from tests.browser.traffic import a_day, write

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
MOST_BYTES = 200_000
SIZE = {"width": 1280, "height": 820}

PICTURES = (
    ("overview", "/", "light"),
    ("exchanges", "/exchanges", "dark"),
    ("exchange", "tr[data-id] a", "light"),
    ("review", "/review", "light"),
    ("appeal", "appeal", "light"),
    ("knowledge", "/knowledge", "light"),
    ("people", "/people", "light"),
    ("audit", "/audit", "dark"),
    ("health", "/health", "light"),
    ("monitoring", "/monitoring", "light"),
    ("login", "/login", "light"),
    ("safety", "/safety", "light"),
    ("bias", "/bias", "light"),
    ("grounding", "/grounding", "dark"),
    ("drift", "/drift", "light"),
    ("alerts", "/alerts", "light"),
    ("policies", "/policies", "light"),
    ("replay", "replay", "light"),
    ("alert", "alert", "light"),
    ("models", "/models", "light"),
    ("rollout", "rollout", "light"),
    ("run", "run", "dark"),
    ("reports", "/reports", "light"),
)


async def take(address: str) -> None:
    """Every picture, from the dashboards at this address."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(ARGUMENTS)
        )
        for name, path, scheme in PICTURES:
            context = await browser.new_context(color_scheme=scheme, viewport=SIZE)
            page = await context.new_page()
            if name in DETAILS:
                path = await path_of(page, address, name)
            elif not path.startswith("/"):
                await page.goto(f"{address}/exchanges?decision=redact")
                found = await page.locator("tr[data-id] a").first.get_attribute("href")
                path = str(found).split("?")[0]
                path = path.replace("exchanges", "appeals") if name == "appeal" else path
            await page.goto(address + path)
            await page.wait_for_timeout(300)
            file = IMAGES / f"dashboard-{name}.png"
            await page.screenshot(path=file)
            size = file.stat().st_size
            if size > MOST_BYTES:
                raise SystemExit(f"{file.name} has {size:,} bytes; {MOST_BYTES:,} are the most.")
            print(f"{file.name}: {size:,} bytes")
            await context.close()
        await browser.close()


def main() -> None:
    """Seed a database, serve it, take the pictures, and leave nothing behind."""
    directory = Path(tempfile.mkdtemp(prefix="banister-pictures-"))
    server = start_embedded(directory, options={"fsync": "off"})
    try:
        migrate(server.url)
        now = datetime.now(UTC)
        asyncio.run(write(server.url, a_day(now, 700)))
        asyncio.run(furnish(server.url, now))
        asyncio.run(find(server.url, now))
        with dashboards(server.url, directory) as address:
            asyncio.run(take(address))
    finally:
        server.stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
