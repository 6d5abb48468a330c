from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.settings import RetrainingSettings, Settings
from monitoring.retraining import registry, runs, workers
from monitoring.retraining.registry import NewVersion
from monitoring.retraining.trigger import due, open_due, planned
from tests.integration.monitoring.retraining.reviewed import EXCHANGE, NOW, fire


def settings_for(tmp_path: Path, **changes: object) -> Settings:
    own = RetrainingSettings(**{"model": "small", "base": tmp_path, **changes})
    return Settings(data_dir=tmp_path, retraining=own)


async def test_an_alert_that_holds_opens_one_run_with_its_evidence(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    alert = await fire(engine)
    settings = settings_for(tmp_path)
    (first,) = await open_due(engine, settings, NOW)
    (again,) = await open_due(engine, settings, NOW + timedelta(minutes=5))
    assert first.run is not None
    assert again.run == first.run
    assert (first.new, again.new) == (True, False)
    assert (first.run.alert_id, first.run.state) == (alert, "waiting")
    assert first.run.parameters["exchange_ids"] == [EXCHANGE]
    assert first.run.reason == "5 % of the prompts are new"


@pytest.mark.parametrize("changes", [{"job": "rates"}, {"state": "resolved", "resolved_at": NOW}])
async def test_other_alerts_open_none(
    engine: AsyncEngine, tmp_path: Path, changes: dict[str, object]
) -> None:
    await fire(engine, **changes)
    assert await due(engine, settings_for(tmp_path), NOW) == []


async def test_an_alert_that_another_explains_opens_none(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    cause = await fire(engine)
    await fire(engine, inhibited_by=cause)
    assert len(await due(engine, settings_for(tmp_path), NOW)) == 1


async def test_a_second_alert_waits_for_the_first_run_and_the_cooldown(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, approval=False, cooldown_hours=24)
    await fire(engine)
    (first,) = await open_due(engine, settings, NOW)
    assert first.run is not None
    assert first.run.state == "approved"
    await fire(engine, started_at=NOW + timedelta(hours=1))
    held = [opening.held for opening in await open_due(engine, settings, NOW) if opening.held]
    assert ["in flight" in why for why in held] == [True]
    await runs.finish(engine, first.run.id, "succeeded", "done", now=NOW)
    held = [opening.held for opening in await open_due(engine, settings, NOW) if opening.held]
    assert ["cooldown" in why for why in held] == [True]
    later = await open_due(engine, settings, NOW + timedelta(hours=24))
    assert [opening.new for opening in later].count(True) == 1


async def test_the_calendar_opens_one_run_a_period(engine: AsyncEngine, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, every_days=7, cooldown_hours=0)
    keys = {
        asked.key
        for hours in range(0, 7 * 24, 12)
        for asked in await due(
            engine, settings, datetime(2026, 11, 23, tzinfo=UTC) + timedelta(hours=hours)
        )
    }
    assert keys == {"calendar:small:2026-11-23"}


async def test_the_champion_of_the_registry_is_tuned_next(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await registry.register(
        engine,
        NewVersion("small", "5", "language_model", "file:///m/5", "a", {}, {}, stage="champion"),
        now=NOW,
    )
    plan = await planned(engine, settings_for(tmp_path), NOW)
    assert (plan.base, plan.base_version) == ("/m/5", "5")


async def test_runs_that_nobody_works_on_are_found(engine: AsyncEngine, tmp_path: Path) -> None:
    plan = await planned(engine, settings_for(tmp_path), NOW)
    asked = runs.Asked("k", "small", "r", "ada", parameters=msgspec.to_builtins(plan))
    opening = await runs.open_run(engine, asked, now=NOW, needs_approval=False)
    assert opening.run is not None
    assert await workers.abandoned(engine) == [opening.run.id]
    async with runs.claim(engine, opening.run.id):
        assert await workers.abandoned(engine) == []
    await runs.finish(engine, opening.run.id, "failed", "", now=NOW)
    assert await workers.abandoned(engine) == []


async def test_a_run_s_work_is_a_process_of_its_own_and_is_started_once(
    postgres_url: str, tmp_path: Path
) -> None:
    run_id, log = uuid4(), tmp_path / "logs" / "run.log"
    environment = {"BANISTER_DATABASE_URL": postgres_url, "BANISTER_DATA_DIR": str(tmp_path)}
    workers.start(run_id, log, environment)
    first = workers._STARTED[run_id]
    workers.start(run_id, log, environment)
    assert workers._STARTED[run_id] is first
    assert os.getsid(first.pid) == first.pid
    assert await asyncio.to_thread(first.wait, 60) != 0
    assert f"There is no retraining run {run_id}" in " ".join(log.read_text().split())
