"""Grounding, over a real log."""

from __future__ import annotations

from datetime import timedelta

import httpx

from guardrails.types import Citation
from tests.browser.traffic import write
from tests.factories import make_exchange
from tests.integration.dashboards.conftest import NOW

AT = NOW - timedelta(hours=5)


async def test_answers_are_shown_by_how_they_are_supported(
    client: httpx.AsyncClient, postgres_url: str
):
    assert "None of the latest 0 exchanges" in (await client.get("/grounding")).text
    good = (Citation(0, 0, 5, 0.9, 1), Citation(0, 5, 9, 0.8, 1))
    bad = (Citation(0, 0, 5, 0.9, 1), Citation(0, 5, 9, 0.11))
    rows = [make_exchange(started_at=AT, citations=good) for _ in range(3)]
    worst = make_exchange(started_at=AT, citations=bad)
    await write(postgres_url, [*rows, worst, make_exchange(started_at=AT)])
    page = (await client.get("/grounding")).text
    for said in ("75.0\xa0%", "3 of n = 4 answers", "7 of n = 8 sentences", "1 of 2", "0.11"):
        assert said in page
    assert page.index(f"/exchanges/{worst.id}") < page.index(f"/exchanges/{rows[0].id}")
    assert page.count('class="drawn"') == 2
