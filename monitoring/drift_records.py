"""Where are references and evidence kept between runs? In `drift_references` and `drift_states`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sqlalchemy import Row, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.tables import drift_references, drift_states
from monitoring.types import Window

Arrays = Mapping[str, NDArray[Any]]

KEPT_STATES = 64
"""States that a job keeps: enough to run any of its latest windows again."""


class Reference(Struct, frozen=True):
    """What a job compares with, frozen. `versions` are those that it was taken under."""

    id: UUID
    job: str
    versions: str
    window: Window
    n: int
    arrays: Arrays


async def find(engine: AsyncEngine, job: str, versions: str) -> Reference | None:
    """The reference of exactly these versions."""
    table = drift_references.c
    statement = select(drift_references).where(table.job == job, table.versions == versions)
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _reference(row)


async def latest(engine: AsyncEngine, job: str, until: datetime) -> Reference | None:
    """The reference that ended last, by `until` at the latest."""
    table = drift_references.c
    statement = (
        select(drift_references)
        .where(table.job == job, table.window_end <= until)
        .order_by(table.window_end.desc())
        .limit(1)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _reference(row)


async def freeze(
    engine: AsyncEngine, job: str, versions: str, window: Window, n: int, arrays: Arrays
) -> Reference:
    """Write a reference once; where another process was first, its own stands."""
    statement = (
        insert(drift_references)
        .values(
            job=job,
            versions=versions,
            window_start=window.start,
            window_end=window.end,
            n=n,
            body=_packed(arrays),
        )
        .on_conflict_do_nothing(index_elements=["job", "versions"])
    )
    async with engine.begin() as connection:
        await connection.execute(statement)
    stands = await find(engine, job, versions)
    if stands is None:
        raise LookupError(f"the reference of {job} that was just frozen is gone")
    return stands


async def state_before(
    engine: AsyncEngine, reference: Reference, moment: datetime
) -> Arrays | None:
    """The evidence against a reference as it stood after the last window that ended by `moment`."""
    table = drift_states.c
    statement = (
        select(table.body)
        .where(
            table.job == reference.job,
            table.reference_id == reference.id,
            table.window_end <= moment,
        )
        .order_by(table.window_end.desc())
        .limit(1)
    )
    async with engine.connect() as connection:
        body = (await connection.execute(statement)).scalar_one_or_none()
    return None if body is None else _unpacked(body)


async def keep_state(
    engine: AsyncEngine, reference: Reference, window_end: datetime, arrays: Arrays
) -> None:
    """Write the evidence after a window, in the place of what an earlier run of it wrote."""
    statement = insert(drift_states).values(
        job=reference.job,
        window_end=window_end,
        reference_id=reference.id,
        body=_packed(arrays),
    )
    statement = statement.on_conflict_do_update(
        index_elements=["job", "window_end"],
        set_={
            "reference_id": statement.excluded.reference_id,
            "body": statement.excluded.body,
        },
    )
    table = drift_states.c
    kept = (
        select(table.window_end)
        .where(table.job == reference.job)
        .order_by(table.window_end.desc())
        .limit(KEPT_STATES)
    )
    async with engine.begin() as connection:
        await connection.execute(statement)
        await connection.execute(
            delete(drift_states).where(
                table.job == reference.job, table.window_end.not_in(kept.scalar_subquery())
            )
        )


def _reference(row: Row) -> Reference:  # type: ignore[type-arg]
    return Reference(
        row.id,
        row.job,
        row.versions,
        Window(row.window_start, row.window_end),
        row.n,
        _unpacked(row.body),
    )


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpacked(body: bytes) -> Arrays:
    with np.load(io.BytesIO(body), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
