"""APScheduler's rows in Postgres: times, and nothing that could be run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from guardrails.database.url import libpq_url
from monitoring.timetable import Timetable

HOUR = timedelta(hours=1)


async def test_the_table_holds_when_and_never_what(postgres_url: str):
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO apscheduler_jobs VALUES ('gone', 1, 'cos\nsystem\n(S''true''\ntR.')"
        )
        scheduler = AsyncIOScheduler(
            timezone=UTC, jobstores={"default": Timetable(postgres_url, ["rates"])}
        )
        at = datetime(2036, 1, 1, tzinfo=UTC)
        trigger = IntervalTrigger(seconds=3600, timezone=UTC)
        for _ in range(2):
            scheduler.add_job(
                print, trigger, id="rates", next_run_time=at, replace_existing=True
            )  # fmt: skip
        scheduler.start(paused=True)
        try:
            rows = connection.execute("SELECT id, next_run_time, job_state FROM apscheduler_jobs")
            ((name, when, state),) = rows.fetchall()
            assert (name, when) == ("rates", at.timestamp())
            assert json.loads(state)["every_seconds"] == 3600.0
            job = scheduler.get_job("rates")
            assert job.next_run_time == at
            assert scheduler.get_jobs() == [job]
            store = scheduler._jobstores["default"]
            with pytest.raises(ConflictingIdError):
                store.add_job(job)
            scheduler.remove_job("rates")
            with pytest.raises(JobLookupError):
                store.update_job(job)
        finally:
            scheduler.shutdown(wait=False)
