"""Drift, from the records of its jobs."""

from __future__ import annotations

import gzip
from datetime import timedelta

import httpx
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.report_tables import drift_reports
from monitoring import runs
from monitoring.types import Figure, Outcome, Run, Status, Window
from tests.factories import make_id
from tests.integration.dashboards.conftest import NOW

DAY = timedelta(days=1)


async def test_what_moved_and_its_crowds_are_shown(client: httpx.AsyncClient, engine: AsyncEngine):
    page = (await client.get("/drift")).text
    assert page.count("Never ran.") == 3
    ids = [make_id(NOW), make_id(NOW)]
    note = "seen from 2026-11-20 10:00 UTC; " + ", ".join(ids)
    figures = (
        Figure("novelty rate", 0.12, "share", 900, Status.DRIFT, 0.1, 0.14, 0.05, "since 2026"),
        Figure("cluster 1", 42, "prompts", 900, Status.DRIFT, note=note),
    )
    for number in range(3):
        window = Window(NOW - (number + 1) * DAY, NOW - number * DAY)
        status = Status.DRIFT if number == 0 else Status.NO_DATA
        outcome = Outcome(status, 900, "moved", figures if number == 0 else ())
        await runs.record(engine, Run("prompt_drift", window, outcome, NOW, NOW))
    page = (await client.get("/drift")).text
    assert page.count("Never ran.") == 2
    assert page.count('<li class="is-no_data"') == 2
    for said in ("novelty rate", "12.0\xa0%", "seen from 2026-11-20 10:00 UTC", *ids):
        assert said in page


async def test_a_whole_report_is_kept_apart_from_our_own_pages(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    row = {
        "job": "score_drift",
        "window_start": NOW - DAY,
        "window_end": NOW,
        "html": gzip.compress(b"<p>whole</p>"),
        "bytes": 12,
        "seconds": 1.0,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(drift_reports).values(row))
    assert "12\xa0bytes" in (await client.get("/drift")).text
    span = {"start": (NOW - DAY).isoformat(), "end": NOW.isoformat()}
    report = await client.get("/drift/reports/score_drift", params=span)
    assert report.text == "<p>whole</p>"
    policy = report.headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    other = {**span, "start": NOW.isoformat()}
    assert (await client.get("/drift/reports/score_drift", params=other)).status_code == 404
    wrong = {**span, "start": "yesterday"}
    assert (await client.get("/drift/reports/score_drift", params=wrong)).status_code == 400
