"""Which state of the runs is an alert? A pure function of the jobs' standings.

A DRIFT figure that names its alarm is one alert for each metric and slice. A job that fails, is
late, or has had nothing to judge for too long is an alert about monitoring itself: it then sees
nothing, and that is never good news.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from monitoring.alerts.types import Evidence, Labels, Severity
from monitoring.types import Alarm, Figure, Run, Status, Window

SETTLE = timedelta(minutes=2)
GRACE = timedelta(minutes=10)
"""A window may be recorded so much later than it could have been, before its job is late; where the
window is long, a 24th of it."""
SILENCE = 4
"""A job may find no data in so many windows in a row…"""
LEAST_SILENCE = timedelta(days=1)
"""…but no alert before this time has passed."""
SHOWN = 12
"""Figures that one alert shows."""

KEEP_FIRING = timedelta(minutes=15)
"""What is clear for a shorter time than this has not ended yet, but may be flapping."""


class Standing(Struct, frozen=True):
    """Where a job stands: its latest run, and when what it last measured and last did ended."""

    job: str
    every: timedelta
    latest: Run | None
    measured_until: datetime | None
    first_known: datetime | None


class Signal(Struct, frozen=True):
    """Something that is wrong now. `key` is the fingerprint, `source` who says so."""

    key: str
    source: str
    job: str
    severity: Severity
    labels: Labels
    summary: str
    evidence: Evidence


class Seen(Struct, frozen=True):
    """What the rules found. Of the `sources` measured, what is not among the signals is clear."""

    signals: tuple[Signal, ...]
    measured: frozenset[str]


def seen(standings: Sequence[Standing], now: datetime) -> Seen:
    """Every signal of every job's standing."""
    signals: list[Signal] = []
    measured: set[str] = set()
    for standing in standings:
        run = standing.latest
        if run is not None and run.status in (Status.OK, Status.DRIFT):
            measured.add(source("drift", standing.job))
            signals += _drift(run)
        for name, found in (
            ("job_failed", _failed(standing)),
            ("job_late", _late(standing, now)),
            ("job_silent", _silent(standing)),
        ):
            measured.add(source(name, standing.job))
            signals += found
    return Seen(tuple(signals), frozenset(measured))


def source(name: str, job: str) -> str:
    """Who says something: an alert's name and its job."""
    return f"{name}:{job}"


def _drift(run: Run) -> list[Signal]:
    """One signal for each metric and slice in alarm, with all of its figures."""
    figures = run.outcome.figures
    by_alarm: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        if figure.status is Status.DRIFT and figure.alarm is not None:
            by_alarm.setdefault((figure.alarm.metric, figure.alarm.slice), []).append(figure)
    signals = []
    for (metric, where), own in by_alarm.items():
        alarms = [figure.alarm for figure in own if figure.alarm is not None]
        others = [f for f in figures if f.status is Status.DRIFT and f.alarm is None]
        signals.append(_signal_of(run, metric, where, alarms, own, others))
    return signals


def _signal_of(
    run: Run,
    metric: str,
    where: str,
    alarms: Sequence[Alarm],
    own: Sequence[Figure],
    others: Sequence[Figure],
) -> Signal:
    layer = min(alarm.layer for alarm in alarms)
    began = [alarm.since for alarm in alarms if alarm.since is not None]
    since = min(began, default=None)
    kind = "health" if layer == 0 else "drift"
    labels = {
        "alertname": kind,
        "job": run.job,
        "layer": str(layer),
        "metric": metric,
        "slice": where,
    }
    dimension, equals, value = where.partition("=")
    if equals:
        labels[dimension] = value
    summary = metric if where == "all" else f"{metric} on {where}"
    first = own[0]
    if first.value is not None and first.unit != "strength":
        summary += f": {_measured(first)}"
    if since is not None:
        summary += f", since {since:%Y-%m-%d %H:%M} UTC"
    return Signal(
        key=f"{kind}:{run.job}:{metric}:{where}",
        source=source("drift", run.job),
        job=run.job,
        severity=Severity.CRITICAL if any(a.critical for a in alarms) else Severity.WARNING,
        labels=labels,
        summary=summary,
        evidence=_evidence(run.job, run.window, (*own, *others)[:SHOWN], since),
    )


def _failed(standing: Standing) -> Iterable[Signal]:
    run = standing.latest
    if run is None or run.status is not Status.FAILED:
        return
    lately = standing.measured_until
    long = lately is None or run.window.end - lately >= 3 * standing.every
    yield _about_job(
        standing,
        "job_failed",
        f"{run.job} failed: {run.outcome.message[:200]}",
        Severity.CRITICAL if long else Severity.WARNING,
        run.window,
    )


def _late(standing: Standing, now: datetime) -> Iterable[Signal]:
    done = standing.latest.window.end if standing.latest is not None else standing.first_known
    if done is None:
        return
    due = done + standing.every + SETTLE
    grace = max(GRACE, standing.every / 24)
    if now > due + grace:
        yield _about_job(
            standing,
            "job_late",
            f"{standing.job} has not run since {done:%Y-%m-%d %H:%M} UTC, due at {due:%H:%M}",
            Severity.CRITICAL if now > due + grace + 2 * standing.every else Severity.WARNING,
            Window(done, done + standing.every),
        )


def _silent(standing: Standing) -> Iterable[Signal]:
    run, until = standing.latest, standing.measured_until
    # Without a reference a drift job has never judged; that it does not yet is no news.
    if run is None or until is None or run.status is not Status.NO_DATA:
        return
    quiet = run.window.end - until
    if quiet >= max(SILENCE * standing.every, LEAST_SILENCE):
        yield _about_job(
            standing,
            "job_silent",
            f"{run.job} has had nothing to judge since {until:%Y-%m-%d %H:%M} UTC: "
            f"{run.outcome.message[:200]}",
            Severity.WARNING,
            run.window,
        )


def _about_job(
    standing: Standing, name: str, summary: str, severity: Severity, window: Window
) -> Signal:
    run = standing.latest
    figures = () if run is None else run.outcome.figures[:SHOWN]
    return Signal(
        key=f"{name}:{standing.job}",
        source=source(name, standing.job),
        job=standing.job,
        severity=severity,
        labels={"alertname": name, "job": standing.job},
        summary=summary,
        evidence=_evidence(standing.job, window, figures, None),
    )


def _evidence(
    job: str, window: Window, figures: Sequence[Figure], since: datetime | None
) -> Evidence:
    return Evidence(
        figures=tuple(figures),
        window_start=window.start,
        window_end=window.end,
        since=since,
        reproduce=(f"banister monitor {job} --at {window.end:%Y-%m-%dT%H:%M} --again",),
        links=(f"/monitoring?job={job}",),
    )


def _measured(figure: Figure) -> str:
    if figure.unit == "share" and figure.value is not None:
        text = f"{figure.value:.2%}"
        if figure.low is not None and figure.high is not None:
            text += f" ({figure.low:.2%} to {figure.high:.2%})"
    else:
        text = f"{figure.value:g} {figure.unit}"
    return f"{text}, n = {figure.n:,}"
