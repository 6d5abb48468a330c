"""Bias, from the records of the weekly comparison and of the audits."""

from __future__ import annotations

from datetime import timedelta

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.bias import audits
from monitoring.types import Figure, Outcome, Run, Status, Window
from tests.integration.dashboards.conftest import NOW

WEEK = Window(NOW - timedelta(days=7), NOW)
FIGURES = (
    Figure("block rate of group women", 0.04, "share", 900, low=0.029, high=0.055),
    Figure("block rate of language de", None, "share", 12, Status.NO_DATA),
    Figure("block gap of group women", 0.03, "points", 900, Status.DRIFT, 0.01, 0.05, 0.01, "p"),
)


async def test_rates_gaps_and_audits_stand_on_the_page(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    page = (await client.get("/bias")).text
    assert "has not run yet" in page
    assert "None yet." in page
    outcome = Outcome(Status.DRIFT, 4_000, "block of group women", FIGURES)
    await runs.record(engine, Run("bias_rates", WEEK, outcome, NOW, NOW))
    found = (Figure("toxicity", 0.02, "points", 40, low=-0.01, high=0.05),)
    await audits.keep(engine, WEEK, "small", "gender", [], [], found, Status.OK)
    page = (await client.get("/bias")).text
    for said in ("n = 4,000", "Block rate, by group and language", "block gap of group women"):
        assert said in page
    assert "small, 0 pairs" in page
    assert 'class="drawn"' in page
