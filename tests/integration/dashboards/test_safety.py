"""Safety by category, over a real log."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from guardrails.types import Action, Verdict
from tests.browser.traffic import write
from tests.factories import make_blocked, make_exchange, make_reason
from tests.integration.dashboards.conftest import NOW

AT = NOW - timedelta(hours=5)


@pytest.fixture
async def traffic(postgres_url: str) -> None:
    shadow = Verdict(Action.ALLOW, (make_reason(label="threat", shadow=True),))
    await write(
        postgres_url,
        [
            *(make_blocked(started_at=AT) for _ in range(3)),
            *(make_exchange(started_at=AT) for _ in range(16)),
            make_exchange(started_at=AT, verdict=shadow),
            make_blocked(started_at=AT - timedelta(days=1)),
            make_exchange(started_at=AT - timedelta(days=1)),
        ],
    )


async def test_each_category_has_its_share_its_interval_and_what_came_of_it(
    client: httpx.AsyncClient, traffic: None
):
    page = (await client.get("/safety")).text
    assert "n = 20 exchanges" in page
    for said in ("Insult", "15.0\xa0%", "5.2–36.0\xa0%", "50.0\xa0%", "3 insult", "Threat"):
        assert said in page
    assert page.index("In shadow, only recorded") < page.index("Threat")
    assert 'class="drawn"' in page
    assert "since=2026-11-23T02%3A00" in page


async def test_a_silent_part_of_the_log_is_no_data(client: httpx.AsyncClient, traffic: None):
    assert "No data" in (await client.get("/safety?route=nowhere")).text
