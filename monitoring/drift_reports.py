"""Where are Evidently's whole reports? In `drift_reports`, packed, for some weeks."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.report_tables import drift_reports
from monitoring.drift.evidently_report import whole_report
from monitoring.types import Window

KEPT = 35
"""The latest reports of a job are kept, five weeks of days; each takes about 1.5 MB."""

_table = drift_reports.c


class Listed(Struct, frozen=True):
    """One report without its body; `bytes` is its size when unpacked."""

    job: str
    window_start: datetime
    window_end: datetime
    bytes: int


async def make(
    engine: AsyncEngine,
    job: str,
    window: Window,
    reference: Mapping[str, Sequence[float]],
    current: Mapping[str, Sequence[float]],
    columns: Sequence[str],
) -> int:
    """Draw and keep one, in the place of an earlier one of the window; its size in bytes."""
    began = time.monotonic()
    html = await asyncio.to_thread(whole_report, reference, current, columns)
    statement = insert(drift_reports).values(
        job=job,
        window_start=window.start,
        window_end=window.end,
        html=await asyncio.to_thread(gzip.compress, html, 6, mtime=0),
        bytes=len(html),
        seconds=time.monotonic() - began,
    )
    statement = statement.on_conflict_do_update(
        index_elements=["job", "window_start", "window_end"],
        set_={name: statement.excluded[name] for name in ("html", "bytes", "seconds")},
    )
    kept = (
        select(_table.window_end)
        .where(_table.job == job)
        .order_by(_table.window_end.desc())
        .limit(KEPT)
    )
    async with engine.begin() as connection:
        await connection.execute(statement)
        await connection.execute(
            delete(drift_reports).where(
                _table.job == job, _table.window_end.not_in(kept.scalar_subquery())
            )
        )
    return len(html)


async def find(engine: AsyncEngine, job: str, window: Window) -> bytes | None:
    """The HTML of one window; None where there is none, or no more."""
    statement = select(_table.html).where(
        _table.job == job, _table.window_start == window.start, _table.window_end == window.end
    )
    async with engine.connect() as connection:
        packed = (await connection.execute(statement)).scalar_one_or_none()
    return None if packed is None else gzip.decompress(packed)


async def latest(engine: AsyncEngine, job: str, *, limit: int = KEPT) -> list[Listed]:
    """The reports that there are of a job, the newest first."""
    columns = [_table[name] for name in Listed.__struct_fields__]
    statement = (
        select(*columns).where(_table.job == job).order_by(_table.window_end.desc()).limit(limit)
    )
    async with engine.connect() as connection:
        return [Listed(**row._mapping) for row in await connection.execute(statement)]
