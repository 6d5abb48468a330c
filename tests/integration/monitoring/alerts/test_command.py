"""`banister alerts` as people use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from guardrails.database import make_engine
from monitoring import runs
from monitoring.alerts.command import alerts
from monitoring.alerts.evaluate import Channels, evaluate
from monitoring.alerts.grouping import Timing
from monitoring.types import Status
from tests.unit.monitoring.alerts.alarms import EVERY, NOW, a_figure, a_run

Banister = Callable[..., Result]


@pytest.fixture
def banister(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Banister:
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)

    def fire() -> None:
        async def once() -> None:
            engine = make_engine(postgres_url)
            await runs.record(engine, a_run(Status.DRIFT, a_figure()))
            await evaluate(engine, [("rate_drift", EVERY)], Channels(), Timing(), NOW)
            await engine.dispose()

        asyncio.run(once())

    fire()
    runner = CliRunner()
    return lambda *arguments: runner.invoke(alerts, arguments)


def test_an_alert_is_listed_shown_taken_in_hand_and_closed(banister: Banister):
    listed = banister("list").output
    assert "block: 8.00%" in listed
    short = listed.splitlines()[1].split()[0]
    shown = banister("show", short).output
    assert "alertname=drift" in shown
    assert "threshold 0.03" in shown
    assert "banister monitor rate_drift --at 2026-11-26T12:00 --again" in shown
    assert "fired by monitor" in shown
    assert banister("ack", short, "--by", "maria").output == "acknowledged\n"
    assert banister("ack", short).exit_code == 1
    assert "acknowledged by maria" in banister("show", short).output
    assert banister("resolve", short, "--reason", "rolled back").output == "resolved\n"
    assert banister("list").output == "Nothing is firing.\n"
    assert "resolved" in banister("list", "--all").output
    assert "No alerts have an id" in banister("show", "ffffffff-none").output


def test_silences_are_made_listed_and_ended(banister: Banister):
    made = banister("silence", "job=rate_drift", "metric=~block.*", "--reason", "a load test")
    assert made.output.startswith("silenced for 2 h: ")
    silence = made.output.split()[-1]
    assert "job=rate_drift metric=~block.*  a load test" in banister("silences").output
    assert banister("unsilence", silence).output == "ended\n"
    assert banister("silences").output == ""
    assert banister("silence", "nonsense", "--reason", "x").exit_code == 2
    assert banister("silence", "job=a").exit_code == 2
