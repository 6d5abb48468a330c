"""An hour of traffic, and a job that counts how often it ran."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Action, Exchange, Failure, Verdict
from monitoring.jobs import Job
from monitoring.types import Outcome, Status, Window
from monitoring.windows import last_full
from tests.factories import make_blocked, make_check, make_exchange, make_reason

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
HOUR = last_full(timedelta(hours=1), NOW)


def now() -> datetime:
    return NOW


async def fill(url: str, exchanges: list[Exchange]) -> None:
    log = ExchangeLog(url, 100_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()


def an_hour_of_traffic() -> list[Exchange]:
    at = HOUR.start + timedelta(minutes=7)
    flagged = Verdict(Action.FLAG, (make_reason(action=Action.FLAG),))
    return [
        *(make_exchange(started_at=at + timedelta(seconds=n)) for n in range(40)),
        *(make_blocked(started_at=at) for _ in range(6)),
        make_exchange(started_at=at, verdict=flagged),
        make_exchange(started_at=at, failure=Failure("upstream_error", "No upstream.", 502)),
        make_exchange(started_at=at, checks=(make_check(detections=(), error="deadline"),)),
        make_exchange(started_at=HOUR.end),
    ]


class Counting:
    """A job that counts how often it ran, and ends as told."""

    def __init__(self, status: Status = Status.OK, fault: Exception | None = None) -> None:
        self.windows: list[Window] = []
        self.status = status
        self.fault = fault

    async def run(self, window: Window, engine: AsyncEngine) -> Outcome:
        self.windows.append(window)
        await asyncio.sleep(0.02)
        if self.fault is not None:
            raise self.fault
        return Outcome(self.status, 1, "done")

    @property
    def job(self) -> Job:
        return Job("counting", timedelta(hours=1), self.run)
