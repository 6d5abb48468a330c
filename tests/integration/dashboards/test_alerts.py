"""Alerts in the dashboards: seen, taken in hand, silenced, closed."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit
from monitoring.alerts import records
from monitoring.alerts.types import Severity, State
from tests.integration.dashboards.conftest import NOW
from tests.integration.dashboards.forms import post
from tests.integration.monitoring.alerts.test_records import add

BEGAN = NOW - timedelta(hours=3)


async def test_open_alerts_stand_first_and_the_ended_below(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    assert "Nothing is wrong as far as is known" in (await client.get("/alerts")).text
    await add(engine, "a", started_at=BEGAN)
    await add(engine, "b", severity=Severity.CRITICAL, started_at=BEGAN)
    await add(engine, "c", state=State.RESOLVED, started_at=BEGAN)
    page = (await client.get("/alerts")).text
    assert page.index("critical") < page.index("firing", page.index("critical"))
    assert page.count("the block rate rose") == 3
    assert (await client.get(f"/alerts/{uuid4()}")).status_code == 404


async def test_one_alert_shows_its_evidence_and_is_taken_in_hand(
    client: httpx.AsyncClient, engine: AsyncEngine
):
    alert = await add(engine, "a", started_at=BEGAN)
    path = f"/alerts/{alert}"
    page = (await client.get(path)).text
    assert "8.0\xa0%" in page
    assert "5.0–11.0 %" in page
    assert "Nobody yet." in page
    taken = await post(client, path, f"{path}/acknowledge")
    assert taken.status_code == 303
    again = await post(client, path, f"{path}/acknowledge")
    assert again.status_code == 400
    assert "in local admin’s hands" in (await client.get(path)).text
    without = await post(client, path, f"{path}/resolve", why="")
    assert without.status_code == 400
    closed = await post(client, path, f"{path}/resolve", why="A test of ours.")
    assert closed.status_code == 303
    found = await records.find(engine, alert)
    assert found is not None
    assert found.state is State.RESOLVED
    assert "A test of ours." in (await client.get(path)).text
    async with engine.connect() as connection:
        acts = {entry.action for entry in await audit.latest(connection, 10)}
    assert {"alert.acknowledge", "alert.resolve"} <= acts


async def test_a_silence_is_made_shown_and_ended(client: httpx.AsyncClient, engine: AsyncEngine):
    path = f"/alerts/{await add(engine, 'a', started_at=BEGAN)}"
    said = {"matchers": "metric=block job=rate_drift", "hours": "8", "why": "Known."}
    assert (await post(client, path, "/alerts/silences", **said)).status_code == 303
    page = (await client.get("/alerts")).text
    assert "silenced by local admin: Known." in page
    (silence,) = await records.silences(engine, NOW)
    assert silence.ends_at == NOW + timedelta(hours=8)
    ended = await post(client, "/alerts", f"/alerts/silences/{silence.id}/end")
    assert ended.status_code == 303
    assert "None holds." in (await client.get("/alerts")).text
    for wrong in ({"matchers": "block"}, {"matchers": " "}, {"hours": "9"}, {"why": ""}):
        refused = await post(client, path, "/alerts/silences", **{**said, **wrong})
        assert refused.status_code == 400
