"""What happened in a week by the records: alerts, runs, audits, changes; what is to be done?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log.report_tables import bias_audits
from guardrails.exchange_log.retraining_tables import retraining_runs
from guardrails.exchange_log.tables import monitor_runs
from monitoring import jobs
from monitoring.alerts import records as alert_records
from monitoring.alerts.types import Severity, State
from monitoring.prevalence.filters import Filters
from monitoring.report import queries
from monitoring.report.document import Audit, Event, Incident, Ran
from monitoring.rollout import records as rollout_records
from monitoring.types import Status, Window

MOST = 8
AUDITED = timedelta(days=28)
SHORTEST = timedelta(minutes=5)
"""Runs over shorter windows are upkeep; they are counted by the minute and tell nothing here."""

_PASSED = text(
    """
    SELECT i.exchange_id::text AS id, i.exchange_started_at AS at, e.decision,
           (SELECT string_agg(DISTINCT said, ', ' ORDER BY said)
            FROM review_labels AS l, unnest(l.labels) AS said
            WHERE l.item_id = i.id AND l.harmful) AS labels
    FROM review_items AS i
    JOIN exchanges AS e ON e.id = i.exchange_id AND e.started_at = i.exchange_started_at
    JOIN LATERAL (SELECT count(*) FILTER (WHERE harmful) AS yes, count(harmful) AS known
                  FROM review_labels WHERE item_id = i.id) AS judged ON yes * 2 > known
    WHERE i.exchange_started_at >= :start AND i.exchange_started_at < :end
      AND e.decision IN ('allow', 'flag')
    ORDER BY i.exchange_started_at DESC, i.id LIMIT :most
    """
)


async def incidents(engine: AsyncEngine, window: Window) -> list[Incident]:
    """The alerts that began in the week and that no other explains: critical ones first."""
    found = await alert_records.list_alerts(
        engine, since=window.start, until=window.end, limit=1_000
    )
    told = [one for one in found if one.inhibited_by is None]
    told.sort(key=lambda one: (one.severity is not Severity.CRITICAL, one.started_at, one.id))
    return [
        Incident(
            one.severity.value,
            one.summary,
            one.started_at,
            one.state.value,
            f"/alerts/{one.id}",
            one.evidence.exchange_ids[:3],
        )
        for one in told[:MOST]
    ]


async def passed(engine: AsyncEngine, window: Window) -> list[Incident]:
    """Exchanges that were served and that most of their reviewers call harmful."""
    values = {"start": window.start, "end": window.end, "most": MOST}
    async with engine.connect() as connection:
        rows = (await connection.execute(_PASSED, values)).all()
    return [
        Incident("warning", row.labels or "harmful", row.at, row.decision, f"/exchanges/{row.id}")
        for row in rows
    ]


async def jobs_of(engine: AsyncEngine, window: Window) -> tuple[list[Ran], list[str]]:
    """What became of each job's windows, and which jobs that were due never ran."""
    run = monitor_runs.c
    statement = (
        select(run.job, run.status, run.result)
        .where(
            run.window_end > window.start,
            run.window_end <= window.end,
            run.window_end - run.window_start >= SHORTEST,
        )
        .order_by(run.job, run.window_end)
    )
    statuses: dict[str, Counter[str]] = {}
    messages: dict[str, str] = {}
    async with engine.connect() as connection:
        for row in await connection.execute(statement):
            statuses.setdefault(row.job, Counter())[row.status] += 1
            if row.status in (Status.DRIFT, Status.FAILED) or row.job not in messages:
                messages[row.job] = str((row.result or {}).get("message", ""))
    ran = [Ran(job, dict(sorted(of.items())), messages[job]) for job, of in statuses.items()]
    # What is due once a week is due when this report is made, and may not be done yet.
    due = [job.name for job in jobs.load_all() if SHORTEST <= job.every < timedelta(days=7)]
    return ran, [name for name in due if name not in statuses]


async def audits(engine: AsyncEngine, window: Window) -> list[Audit]:
    """The latest audit of each model and axis in the last four weeks."""
    table = bias_audits.c
    statement = (
        select(bias_audits)
        .where(table.window_end <= window.end, table.window_end > window.end - AUDITED)
        .order_by(table.model, table.axis, table.window_end)
    )
    async with engine.connect() as connection:
        latest = {(row.model, row.axis): row for row in await connection.execute(statement)}
    return [
        Audit(row.model, row.axis, row.pairs, row.status, row.window_end, tuple(row.result))
        for row in latest.values()
    ]


async def events(connection: AsyncConnection, span: Window, week: Window) -> list[Event]:
    """New policies, models and templates by their first exchange, and every step of a rollout.

    The first version of all is no change; a version that came back is none either.
    """
    seen: set[str] = set()
    found = []
    for row in await queries.versions(connection, span):
        if row.kind in seen and row.first >= week.start:
            found.append(Event(row.first, row.kind, row.name))
        seen.add(row.kind)
    for step in await rollout_records.changes(connection, since=week.start, until=week.end):
        words = f"{step.candidate}: {step.kind.replace('_', ' ')}, {step.share:.0%} of traffic"
        found.append(Event(step.at, "rollout", words))
    return sorted(found, key=lambda one: (one.at, one.kind, one.what))


async def actions(
    engine: AsyncEngine, window: Window, ran: Sequence[Ran], never: Sequence[str], quality: Filters
) -> list[str]:
    """What waits for a person, the most urgent first."""
    firing = [
        one
        for one in await alert_records.list_alerts(engine, states=(State.FIRING,), limit=1_000)
        if one.inhibited_by is None and one.started_at < window.end
    ]
    waiting = select(func.count()).where(
        retraining_runs.c.state == "waiting", retraining_runs.c.created_at < window.end
    )
    async with engine.connect() as connection:
        approvals = (await connection.execute(waiting)).scalar_one()
    failed = [one.job for one in ran if Status.FAILED.value in one.statuses]
    silent = [one.job for one in ran if set(one.statuses) == {Status.NO_DATA.value}]
    unlabelled = quality.sampled - quality.labelled
    return [
        words
        for count, words in (
            (len(firing), f"{_many(len(firing), 'alert')} firing that nobody has acknowledged"),
            (approvals, f"{_many(approvals, 'retraining run')} waiting for approval"),
            (len(failed), f"jobs that failed: {', '.join(failed)}"),
            (len(never), f"jobs that never ran: {', '.join(never)}"),
            (len(silent), f"jobs without data all week: {', '.join(silent)}"),
            (unlabelled, f"{_many(unlabelled, 'sampled item')} without a label"),
            (
                not quality.sampled,
                "no sample was drawn for people to judge: filter quality is not known",
            ),
        )
        if count
    ]


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
