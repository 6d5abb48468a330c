"""System health: the proxies, their upstreams and detectors, the log, the database, the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards import system
from dashboards.pages import Page
from dashboards.site import show, site_of
from dashboards.system import Database, Process
from monitoring import runs
from monitoring.jobs import names as job_names
from monitoring.types import Run

PAGE = Page("Health", "/health", group="Keep", place=50, key="h")
router = APIRouter()

LATE = 3
"""A job whose latest window ended this many of its lengths ago has stopped running."""


class Job(Struct, frozen=True):
    """One job of the monitor and how its latest run ended; `status` NO_DATA where it never ran."""

    name: str
    status: str
    message: str
    finished_at: datetime | None
    late: bool


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    processes: tuple[Process, ...]
    database: Database
    ahead_days: int | None
    jobs: tuple[Job, ...]
    troubles: tuple[str, ...]


@router.get("/health")
async def health(request: Request) -> Response:
    """The page."""
    site = site_of(request)
    now = site.now()
    async with site.reader.connect() as connection:
        running = await system.processes(connection, now)
        database = await system.database(connection)
    latest = await runs.latest_of_each(site.reader)
    return await show(request, "health.html", view(running, database, latest, job_names(), now))


def view(
    running: Sequence[Process],
    database: Database,
    latest: Sequence[Run],
    names: Sequence[str],
    now: datetime,
) -> View:
    """The page, with what needs a person on top."""
    ran = {run.job: run for run in latest}
    jobs = tuple(_job(name, ran.get(name), now) for name in names)
    ahead = None if database.until is None else (database.until - now.date()).days
    return View(tuple(running), database, ahead, jobs, _troubles(running, database, ahead, jobs))


def _job(name: str, run: Run | None, now: datetime) -> Job:
    if run is None:
        return Job(name, "NO_DATA", "never ran", None, True)
    late = now - run.window.end > LATE * (run.window.end - run.window.start)
    return Job(name, run.status.value, run.outcome.message[:160], run.finished_at, late)


def _troubles(
    running: Sequence[Process], database: Database, ahead: int | None, jobs: Sequence[Job]
) -> tuple[str, ...]:
    found = []
    proxies = [one for one in running if one.kind == "proxy"]
    if not proxies:
        found.append("No proxy tells of itself: none runs, or none reaches this database.")
    for one in proxies:
        if one.missing:
            found.append(f"The proxy {one.name} has been silent: it hangs, or was killed.")
        elif not one.ready:
            found.append(f"The proxy {one.name} is not ready.")
        for upstream in one.upstreams:
            if upstream.get("breaker") != "closed":
                found.append(f"{one.name} does not ask {upstream['name']}: its breaker is open.")
        if trouble := one.log.get("trouble"):
            found.append(f"The log of {one.name}: {trouble}.")
    if database.lost or database.rejected:
        found.append(
            f"{database.lost:,} records were lost and {database.rejected:,} refused, in all."
        )
    if ahead is None or ahead < 1:
        found.append("No partition is ready for tomorrow; run `banister monitor partitions`.")
    for job in jobs:
        if job.status == "FAILED":
            found.append(f"The job {job.name} failed.")
    if jobs and all(job.late for job in jobs):
        found.append("The monitor stands still: no job has run lately.")
    return tuple(found)
