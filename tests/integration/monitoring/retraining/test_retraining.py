from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.jobs import retraining
from monitoring.retraining import runs
from monitoring.windows import last_full
from tests.integration.monitoring.retraining.reviewed import NOW, fire


async def test_the_job_opens_runs_only_where_the_settings_say_so(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fire(engine)
    monkeypatch.setenv("BANISTER_DATA_DIR", str(tmp_path))
    window = last_full(retraining.EVERY, NOW)
    off = await retraining.run(window, engine)
    assert "BANISTER_RETRAINING__ENABLED" in off.message
    assert await runs.recent(engine) == []
    monkeypatch.setenv("BANISTER_RETRAINING__ENABLED", "true")
    on = await retraining.run(window, engine)
    assert on.message.startswith("1 opened, 0 held, 1 waiting for approval, 0 set to work")
    assert [run.state for run in await runs.recent(engine)] == ["waiting"]
