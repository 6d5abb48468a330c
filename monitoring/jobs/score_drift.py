"""Score drift: whether each label's scores of the last day still look like the week before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.drift.evidently_report import MIN_ROWS, THRESHOLD, ColumnDrift, value_drift
from monitoring.frames import scores
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=1)
REFERENCE = timedelta(days=7)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Hold the window against the days before it."""
    before = Window(window.start - REFERENCE, window.start)
    reference = await scores(engine, before)
    current = await scores(engine, window)
    # Evidently computes for seconds; the scheduler must go on holding its lease meanwhile.
    columns = await asyncio.to_thread(value_drift, reference.columns, current.columns)
    return judge(columns, current.n)


def judge(columns: Sequence[ColumnDrift], n: int) -> Outcome:
    """The status of the whole: DRIFT where one label drifted, NO_DATA where none was measured.

    A label that could not be measured is never counted as unmoved: it is named in the message.
    """
    figures = tuple(_figure(column) for column in columns)
    measured = [figure for figure in figures if figure.value is not None]
    drifted = [figure.name for figure in figures if figure.status is Status.DRIFT]
    failed = [figure.name for figure in figures if figure.status is Status.FAILED]
    without = len(figures) - len(measured) - len(failed)
    parts = [f"{len(measured)} labels measured, {len(drifted)} drifted"]
    if drifted:
        parts.append(", ".join(drifted))
    if without:
        parts.append(f"{without} with too few rows (each side needs {MIN_ROWS})")
    if failed:
        parts.append("not measured because of a fault: " + ", ".join(failed))
    if drifted:
        status = Status.DRIFT
    elif failed:
        status = Status.FAILED
    elif not measured:
        status = Status.NO_DATA
    else:
        status = Status.OK
    return Outcome(status, n, "; ".join(parts), figures)


def _figure(column: ColumnDrift) -> Figure:
    if column.too_few:
        status = Status.NO_DATA
    elif column.distance is None:
        status = Status.FAILED
    else:
        status = Status.DRIFT if column.distance >= THRESHOLD else Status.OK
    return Figure(
        column.column,
        column.distance,
        "distance",
        column.n_current,
        status,
        threshold=THRESHOLD,
        note=column.error or f"against {column.n_reference} rows before",
    )
