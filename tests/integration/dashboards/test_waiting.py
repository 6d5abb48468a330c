"""What is open, on the overview's first row."""

from __future__ import annotations

from datetime import timedelta

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.alerts.types import Severity
from monitoring.retraining import runs
from monitoring.rollout import records
from tests.integration.dashboards.conftest import NOW
from tests.integration.monitoring.alerts.test_records import add

AT = NOW - timedelta(hours=5)


async def test_what_is_open_stands_first_each_with_its_page(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    await records.start(
        engine, model="small", champion="small@1", candidate="small@2", who="ada", why="Better.",
        now=AT,
    )  # fmt: skip
    await add(engine, "a", severity=Severity.CRITICAL, started_at=AT)
    await runs.open_run(engine, runs.Asked("key", "large", "drift of prompts", "ada"), now=AT)
    page = (await client.get("/")).text
    row = page[page.index('class="open-now"') : page.index("</ul>", page.index("open-now"))]
    for path in ("/alerts", "/review", "/models", "/retraining"):
        assert f'href="{path}"' in row
    for said in ("1 critical, 1 in nobody’s hands", "small@2", "large", "nothing left for you"):
        assert said in row
    assert row.count("<strong>1</strong>") == 3
    assert page.index("open-now") < page.index('id="day-title"')


async def test_nothing_open_is_none_and_unwatched_is_no_data(client: httpx.AsyncClient):
    page = (await client.get("/")).text
    assert "<strong>No data</strong>" in page
    assert "the monitor has not run yet" in page
    assert page.count("<strong>None</strong>") == 3
