"""Retraining in the dashboards: who asked for a run, who let it begin, and what came of it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.retraining import runs
from tests.integration.dashboards.conftest import NOW
from tests.integration.dashboards.forms import post

BEGAN = NOW - timedelta(hours=3)


async def ask(engine: AsyncEngine, key: str = "alert:1") -> runs.RetrainingRun:
    asked = runs.Asked(key, "small", "The topic moved.", "the monitor", parameters={"steps": 20})
    opened = await runs.open_run(engine, asked, now=BEGAN)
    assert opened.run is not None
    return opened.run


async def test_a_waiting_run_is_approved_and_its_steps_are_shown(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    assert "None yet." in (await client.get("/retraining")).text
    run = await ask(engine)
    path = f"/retraining/{run.id}"
    assert "Waiting for approval" in (await client.get("/retraining")).text
    assert "No step has begun." in (await client.get(path)).text
    assert (await post(client, path, f"{path}/approve", why="")).status_code == 400
    assert (await post(client, path, f"{path}/approve", why="It is due.")).status_code == 303
    assert (await post(client, path, f"{path}/approve", why="Twice.")).status_code in (400, 403)
    await runs.begin_step(engine, run.id, "prepare", now=BEGAN)
    await runs.end_step(
        engine, run.id, "prepare", now=BEGAN + timedelta(seconds=90), result={"rows_kept": 412}
    )
    await runs.begin_step(engine, run.id, "tune", now=NOW)
    await runs.end_step(engine, run.id, "tune", now=NOW, error="the disk is full")
    page = (await client.get(path)).text
    for said in ("It is due.", "Rows kept", "412", "the disk is full", "local admin decided"):
        assert said in page
    assert (await client.get(f"/retraining/{uuid4()}")).status_code == 404


async def test_a_run_may_be_refused(client: httpx.AsyncClient, engine: AsyncEngine):
    run = await ask(engine)
    path = f"/retraining/{run.id}"
    assert (await post(client, path, f"{path}/refuse", why="A holiday.")).status_code == 303
    found = await runs.get(engine, run.id)
    assert found is not None
    assert (found.state, found.decision_reason) == ("refused", "A holiday.")
