"""Health: whether the guard checked what it let pass, and whether the log has all of it (layer 0).

What is wrong here makes every later figure doubtful, so its alerts inhibit those of drift.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import runs
from monitoring.intervals import wilson
from monitoring.types import Alarm, Figure, Outcome, Status, Window

EVERY = timedelta(minutes=5)
NAME = "health"
LOST = "records lost in all"

CRITICAL_SHARE = 0.01
CRITICAL_COUNT = 5
"""From so many exchanges, and so large a share of them, a failure is more than one bad moment."""
LAG_SECONDS = 90.0
"""Records that arrive later than this may miss the windows that are judged."""

# A check failed, and the exchange went on: by a rule's `on_error`, the guard was open.
_COUNTS = text(
    """
    SELECT count(*) AS n,
           count(*) FILTER (WHERE jsonb_path_exists(reasons, '$[*] ? (exists (@.error)
                                && (!(exists (@.shadow)) || @.shadow == false))')
                            AND decision <> 'block' AND failure_code IS NULL) AS failed_open,
           count(*) FILTER (WHERE failure_code = 'guard_unavailable') AS unavailable,
           coalesce(max(extract(epoch FROM recorded_at - started_at)
                        - coalesce(duration_seconds, 0)), 0) AS lag_seconds
    FROM exchanges WHERE started_at >= :start AND started_at < :end
    """
)
_REJECTED = text("SELECT count(*) FROM rejected_records WHERE rejected_at >= :start"
                 " AND rejected_at < :end")  # fmt: skip
_LOST = text("SELECT coalesce(sum(lost), 0)::bigint FROM log_spools")


class Counted(Struct, frozen=True):
    """What a window's rows say of the guard and the log. `lost` counts from the beginning."""

    n: int
    failed_open: int
    unavailable: int
    lag_seconds: float
    rejected: int
    lost: int
    lost_before: int = 0


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Count what must not be."""
    span = {"start": window.start, "end": window.end}
    async with engine.connect() as connection:
        row = (await connection.execute(_COUNTS, span)).one()
        rejected = (await connection.execute(_REJECTED, span)).scalar_one()
        lost = (await connection.execute(_LOST)).scalar_one()
    before = await runs.find(engine, NAME, Window(window.start - EVERY, window.start))
    of_before = before.outcome.figures if before is not None else ()
    lost_before = next((f.value for f in of_before if f.name == LOST and f.value), 0)
    lag = float(row.lag_seconds)
    return judge(
        Counted(row.n, row.failed_open, row.unavailable, lag, rejected, lost, int(lost_before)),
        window,
    )


def judge(seen: Counted, window: Window) -> Outcome:
    """DRIFT where one figure is beyond its bound. A window without traffic is OK: nothing passed.

    That traffic is missing is for `rate_drift` to say, which knows what is usual.
    """
    figures = (
        _share("failed open", seen.failed_open, seen.n, window),
        _share("guard unavailable", seen.unavailable, seen.n, window),
        _count("records rejected", seen.rejected, window),
        _count(LOST, seen.lost, window, seen.lost_before),
        _lag(seen, window),
    )
    wrong = [figure.name for figure in figures if figure.status is Status.DRIFT]
    message = f"{seen.n} exchanges; " + (", ".join(wrong) if wrong else "all checked and recorded")
    return Outcome(Status.DRIFT if wrong else Status.OK, seen.n, message, figures)


def _share(name: str, hits: int, n: int, window: Window) -> Figure:
    low, high = wilson(hits, n) or (None, None)
    value = hits / n if n else None
    if not hits:
        status = Status.OK if n else Status.NO_DATA
        return Figure(name, value, "share", n, status, low=low, high=high, threshold=0.0)
    critical = hits >= CRITICAL_COUNT and hits >= CRITICAL_SHARE * n
    alarm = Alarm(name, since=window.start, critical=critical)
    return Figure(
        name, value, "share", n, Status.DRIFT, low=low, high=high, threshold=0.0,
        note=f"{hits} exchanges", alarm=alarm,
    )  # fmt: skip


def _count(name: str, count: int, window: Window, before: int = 0) -> Figure:
    if count <= before:
        return Figure(name, count, "records", count, threshold=float(before))
    alarm = Alarm(name, since=window.start, critical=True)
    return Figure(name, count, "records", count, Status.DRIFT, threshold=before, alarm=alarm)


def _lag(seen: Counted, window: Window) -> Figure:
    name = "log lag"
    if not seen.n:
        return Figure(name, None, "seconds", 0, Status.NO_DATA, threshold=LAG_SECONDS)
    late = seen.lag_seconds > LAG_SECONDS
    return Figure(
        name,
        round(seen.lag_seconds, 1),
        "seconds",
        seen.n,
        Status.DRIFT if late else Status.OK,
        threshold=LAG_SECONDS,
        note="of the record that came latest",
        alarm=Alarm(name, since=window.start) if late else None,
    )
