"""When is each job due next? APScheduler's own job store in Postgres, without its pickles.

APScheduler keeps a pickled job in each row of `apscheduler_jobs`; who can write to the database
could then run code in the monitor. Here a row holds the time and, for people, the length of the
window; what the job does comes from this process. The truth about what was done is in the records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from apscheduler.job import Job
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.util import datetime_to_utc_timestamp, utc_timestamp_to_datetime
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError

from guardrails.database.url import sqlalchemy_url

_MOST_SECONDS = 5
"""The scheduler's loop waits for its store; a Postgres that hangs must not hold it for long."""


class Timetable(SQLAlchemyJobStore):  # type: ignore[misc]
    """The rows of the jobs that this process knows; those of others are removed at the start."""

    def __init__(self, url: str, known: Iterable[str]) -> None:
        connect = {
            "connect_timeout": _MOST_SECONDS,
            "options": f"-c statement_timeout={_MOST_SECONDS}s",
        }
        engine = create_engine(
            sqlalchemy_url(url), pool_size=1, pool_pre_ping=True, connect_args=connect
        )
        super().__init__(engine=engine)
        self._known = frozenset(known)
        self._jobs: dict[str, Job] = {}

    def start(self, scheduler: Any, alias: str) -> None:
        """Take the table over from whoever led before."""
        super().start(scheduler, alias)
        gone = self.jobs_t.delete().where(self.jobs_t.c.id.not_in(self._known))
        with self.engine.begin() as connection:
            connection.execute(gone)

    def add_job(self, job: Job) -> None:
        """Put a job on the timetable. Errors: ConflictingIdError where it is there already."""
        self._jobs[job.id] = job
        try:
            with self.engine.begin() as connection:
                connection.execute(self.jobs_t.insert().values(id=job.id, **_row(job)))
        except IntegrityError as error:
            raise ConflictingIdError(job.id) from error

    def update_job(self, job: Job) -> None:
        """Say when a job is due next. Errors: JobLookupError where it is not there."""
        self._jobs[job.id] = job
        statement = self.jobs_t.update().where(self.jobs_t.c.id == job.id).values(**_row(job))
        with self.engine.begin() as connection:
            if connection.execute(statement).rowcount == 0:
                raise JobLookupError(job.id)

    def _reconstitute_job(self, job_state: bytes) -> Job:
        row = json.loads(job_state)
        job = self._jobs[row["id"]]
        job.next_run_time = utc_timestamp_to_datetime(row["next_run_time"])
        return job


def _row(job: Job) -> dict[str, Any]:
    at = datetime_to_utc_timestamp(job.next_run_time)
    state = {
        "id": job.id,
        "next_run_time": at,
        "every_seconds": job.trigger.interval.total_seconds(),
    }
    return {"next_run_time": at, "job_state": json.dumps(state).encode()}
