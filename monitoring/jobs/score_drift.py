"""Score drift: whether scores, lengths, code and languages still lie as in the frozen reference."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import drift_records, drift_reports
from monitoring.drift.alarm import alarm_of
from monitoring.drift.columns import MIN_ROWS, Tabulated, columns_of, frozen, parts, tabulate
from monitoring.drift.evidently_report import THRESHOLD, ColumnDrift, value_drift
from monitoring.drift.watch import Finding, advance
from monitoring.drift_frames import Drawn, drawn
from monitoring.drift_records import Arrays, Reference
from monitoring.references import number_of, phase_of, reference_for, start_of
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=1)
NAME = "score_drift"
REFERENCE_A_DAY = 2_000

logger = logging.getLogger(__name__)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Hold every column in every slice against the reference, with all evidence so far."""

    async def take(span: Window) -> tuple[int, Arrays] | None:
        days = []
        day = span.start
        while day < span.end:
            days.append(await drawn(engine, Window(day, day + EVERY), most=REFERENCE_A_DAY))
            day += EVERY
        return await asyncio.to_thread(frozen, days, phase_of(number_of(span.start, EVERY), EVERY))

    reference = await reference_for(engine, NAME, window, take)
    sample = await drawn(engine, window)
    if reference is None:
        return Outcome(
            Status.NO_DATA,
            len(sample),
            "no reference yet: it takes 14 days under one set of versions",
        )
    before = await drift_records.state_before(engine, reference, window.start)
    # Evidently computes for seconds; the scheduler must go on holding its lease meanwhile.
    state, outcome = await asyncio.to_thread(measure, reference, sample, window, before)
    await drift_records.keep_state(engine, reference, window.end, state)
    return await _with_report(engine, reference, sample, window, outcome)


async def _with_report(
    engine: AsyncEngine,
    reference: Reference,
    sample: Sequence[Drawn],
    window: Window,
    outcome: Outcome,
) -> Outcome:
    """The same, and Evidently's whole report kept beside the run; its fault is not the run's."""
    columns = [f.name for f in outcome.figures if f.unit == "distance" and f.value is not None]
    if not columns:
        return outcome
    current = columns_of(sample, columns)
    try:
        size = await drift_reports.make(
            engine, NAME, window, _kept(reference.arrays), current, columns
        )
    # Whatever Evidently raises that day: what was found stands without its pictures.
    except Exception as error:
        logger.warning("no whole report of %s: %s", window.start, type(error).__name__)
        note, size = f"not drawn: {type(error).__name__}", None
    else:
        note = f"banister monitor {NAME} --at {window.end:%Y-%m-%dT%H:%M} --report FILE"
    status = Status.OK if size else Status.NO_DATA
    whole = Figure("Evidently's whole report", size, "bytes", len(columns), status, note=note)
    return structs.replace(outcome, figures=(*outcome.figures, whole))


def measure(
    reference: Reference, sample: Sequence[Drawn], window: Window, before: Arrays | None
) -> tuple[Arrays, Outcome]:
    """The state to keep, and what there is to say of the window."""
    arrays = reference.arrays
    names, slices = arrays["columns"].tolist(), arrays["slices"].tolist()
    tabulated = tabulate(sample, names, slices, arrays["languages"].tolist(), arrays["cuts"])
    number = number_of(window.start, EVERY)
    state, findings = advance(
        parts(arrays, tabulated, phase_of(number, EVERY)), before, window=number, opens=True
    )
    distances = value_drift(_kept(arrays), columns_of(sample, names))
    return state, judge(reference, findings, distances, tabulated)


def _kept(arrays: Arrays) -> dict[str, list[float]]:
    """The reference's values of every column."""
    return {
        name: values[~np.isnan(values)].astype(float).tolist()
        for name, values in zip(arrays["columns"].tolist(), arrays["values"], strict=True)
    }


def judge(
    reference: Reference,
    findings: Sequence[Finding],
    distances: Sequence[ColumnDrift],
    tabulated: Tabulated,
) -> Outcome:
    """DRIFT where a test says so; Evidently's distance says how far a column moved, and no more.

    A column that could not be measured is never counted as unmoved: it is named in the message.
    """
    alarmed = [finding for finding in findings if finding.alarmed]
    told = [finding for finding in alarmed if finding.explained_by is None]
    moved = {f.stream.metric.partition(":")[0] for f in alarmed if f.stream.slice == "all"}
    figures = [_figure(one, one.column in moved, findings) for one in distances]
    for finding in alarmed:
        if finding.stream.slice != "all" or finding.stream.metric.startswith("language="):
            figures.append(_alarm(finding))
    n = int(tabulated.n[0]) if len(tabulated.n) else 0
    failed = [one.column for one in distances if one.distance is None and not one.too_few]
    few = sum(one.too_few for one in distances)
    message = [f"{len(findings)} columns and slices, {len(alarmed)} in alarm"]
    message += [f"{f.stream.metric} on {f.stream.slice} {_since(f)}" for f in told]
    if few:
        message.append(f"{few} with too few rows (each side needs {MIN_ROWS})")
    if failed:
        message.append("not measured because of a fault: " + ", ".join(failed))
    span = reference.window
    message.append(f"against {span.start:%Y-%m-%d} to {span.end:%Y-%m-%d}")
    if alarmed:
        status = Status.DRIFT
    elif failed:
        status = Status.FAILED
    elif few == len(distances):
        status = Status.NO_DATA
    else:
        status = Status.OK
    return Outcome(status, n, "; ".join(message), tuple(figures))


def _figure(one: ColumnDrift, moved: bool, findings: Sequence[Finding]) -> Figure:
    of_column = [
        f for f in findings if f.stream.slice == "all" and f.stream.metric.startswith(one.column)
    ]
    strongest = max(of_column, key=lambda f: f.strength, default=None)
    note = one.error or f"against {one.n_reference} rows of the reference"
    if strongest is not None:
        note += f"; strength {strongest.strength:+.1f} of {strongest.stream.metric}"
        if strongest.alarmed:
            note = f"{_since(strongest)}; {note}"
    if moved:
        status = Status.DRIFT
    elif one.too_few:
        status = Status.NO_DATA
    else:
        status = Status.FAILED if one.distance is None else Status.OK
    in_alarm = max((f for f in of_column if f.alarmed), key=lambda f: f.strength, default=None)
    return Figure(
        one.column,
        one.distance,
        "distance",
        one.n_current,
        status,
        threshold=THRESHOLD,
        note=note,
        alarm=alarm_of(in_alarm, EVERY),
    )


def _alarm(finding: Finding) -> Figure:
    name = f"{finding.stream.metric} on {finding.stream.slice}"
    note = f"{_since(finding)}; value is the evidence over what one stream needs, in logarithms"
    return Figure(
        name,
        round(finding.strength, 2),
        "strength",
        0,
        Status.DRIFT,
        threshold=0.0,
        note=note,
        alarm=alarm_of(finding, EVERY),
    )


def _since(finding: Finding) -> str:
    by = finding.explained_by
    words = f"since {start_of(finding.since, EVERY):%Y-%m-%d}"
    return words if by is None else f"{words}; explained by {by.metric} on {by.slice}"
