"""Guard failures that let traffic pass, from the log to the mail box, by the jobs themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.types import Action, Verdict
from monitoring import runs
from monitoring.alerts import records
from monitoring.alerts.command import alerts
from monitoring.alerts.exchanges import shown_by
from monitoring.jobs import load
from monitoring.run import run
from monitoring.types import Status, Window
from monitoring.windows import last_full
from tests.factories import make_check, make_exchange, make_reason
from tests.integration.monitoring.alerts.receivers import mailbox, webhook
from tests.integration.monitoring.traffic import fill
from tests.unit.monitoring.alerts.alarms import HOUR, NOW, a_signal

FAILED = {"error": "the worker did not answer", "detections": ()}


def opened(at: datetime):
    """An exchange whose check failed and whose rule let it pass."""
    reason = make_reason(action=Action.FLAG, score=None, error="the worker did not answer")
    return make_exchange(
        started_at=at,
        checks=(make_check(**FAILED),),
        verdict=Verdict(Action.FLAG, (reason,)),
    )


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_guard_that_failed_open_reaches_people_once_with_its_exchanges(
    postgres_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    window = last_full(timedelta(minutes=5), now())
    rows = [opened(window.start + timedelta(seconds=n)) for n in range(6)]
    await fill(postgres_url, [*rows, make_exchange(started_at=window.start)])
    done = await run(load("health"), window, engine, now=now)
    assert done is not None
    assert done.status is Status.DRIFT
    with mailbox() as box, webhook() as hook:
        monkeypatch.setenv("BANISTER_ALERT_CHANNELS", json.dumps([box.channel, hook.channel]))
        monkeypatch.setenv("BANISTER_ALERT_GROUP_WAIT_SECONDS", "0")
        job, minute = load("alerts"), timedelta(minutes=1)
        for number in range(3):
            start = last_full(minute, now()).start + number * minute
            told = await run(job, Window(start, start + minute), engine, now=now)
            assert told is not None
            assert told.status is Status.OK, told.outcome.message
        assert len(box.messages) == len(hook.bodies) == 1
        assert "(1 critical)" in box.messages[0]["subject"]
        assert "failed open: 85.71%" in hook.bodies[0]["message"]
    everything = await records.open_alerts(engine)
    (alert,) = (one for one in everything if one.labels.get("metric") == "failed open")
    assert set(alert.evidence.exchange_ids) == {row.id for row in rows}


async def test_exchanges_are_picked_by_event_slice_and_score(
    postgres_url: str, engine: AsyncEngine
):
    at = NOW - HOUR
    high = make_exchange(started_at=at, checks=(make_check(score=0.9),))
    other = make_exchange(started_at=at, checks=(make_check(score=0.2),), route="code")
    await fill(postgres_url, [high, other])
    score = "toxicity/insult on input"
    assert await shown_by(engine, a_signal(score, layer=2)) == (high.id, other.id)
    assert await shown_by(engine, a_signal(score, "route=code", layer=2)) == (other.id,)
    assert await shown_by(engine, a_signal("refusal")) == ()
    assert await shown_by(engine, a_signal("length in", layer=4)) == ()


def cli(url: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "guardrails.cli", *arguments],
        env={**os.environ, "BANISTER_DATABASE_URL": url},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_measuring_again_shows_the_figures_and_leaves_the_record(
    postgres_url: str, engine: AsyncEngine
):
    await fill(postgres_url, [opened(datetime(2026, 11, 26, 11, 57, tzinfo=UTC))])
    command = ("monitor", "health", "--at", "2026-11-26T12:00", "--again")
    shown = cli(postgres_url, *command)
    assert "DRIFT health" in shown
    assert "failed open" in shown
    assert await runs.latest_of_each(engine) == []


def test_channels_are_tested_and_a_bad_one_is_told(monkeypatch: pytest.MonkeyPatch):
    runner = CliRunner()
    monkeypatch.delenv("BANISTER_ALERT_CHANNELS", raising=False)
    none = runner.invoke(alerts, ["test"])
    assert none.exit_code == 1
    assert "BANISTER_ALERT_CHANNELS" in none.output
    with mailbox() as box, webhook() as hook:
        monkeypatch.setenv("BANISTER_ALERT_CHANNELS", json.dumps([box.channel, hook.channel]))
        assert runner.invoke(alerts, ["test"]).output.count("ok    ") == 2
        hook.status = 404
        bad = runner.invoke(alerts, ["test"])
    assert bad.exit_code == 1
    assert "FAILED json://duty:****@127.0.0.1" in bad.output
    assert "hunter2" not in bad.output
