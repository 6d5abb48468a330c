"""Which retraining runs are there, who allowed them, and how far has each come?

    waiting → approved → running → succeeded
       └─────────┴──────────┴────→ refused (a person or a gate said no) or failed

At most one run is in flight: opening takes a lock in Postgres, and looks before it writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.errors import BadRequest
from guardrails.exchange_log.retraining_tables import retraining_runs
from monitoring.retraining.registry import Kind

State = Literal["waiting", "approved", "running", "succeeded", "failed", "refused"]
IN_FLIGHT: tuple[State, ...] = ("waiting", "approved", "running")

_table = retraining_runs.c
_OPENING = text("SELECT pg_advisory_xact_lock(hashtextextended('retraining:open', 0))")
_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))")


class Step(Struct, frozen=True):
    """How one step of a run stands. `attempts` counts its beginnings, also those that were cut."""

    state: Literal["running", "done", "failed"]
    attempts: int
    started_at: datetime
    finished_at: datetime | None = None
    result: dict[str, Any] = {}
    error: str | None = None


class Asked(Struct, frozen=True):
    """What a run is asked to be. `key` names the cause: the same cause opens one run, ever."""

    key: str
    model: str
    reason: str
    opened_by: str
    kind: Kind = "language_model"
    alert_id: UUID | None = None
    parameters: dict[str, Any] = {}


class RetrainingRun(Struct, frozen=True):
    """A run, as recorded."""

    id: UUID
    idempotency_key: str
    kind: Kind
    model: str
    alert_id: UUID | None
    reason: str
    opened_by: str
    parameters: dict[str, Any]
    state: State
    steps: dict[str, Step]
    dataset_sha256: str | None
    model_version_id: UUID | None
    approver: str | None
    decided_at: datetime | None
    decision_reason: str | None
    created_at: datetime
    finished_at: datetime | None
    outcome: str | None

    @property
    def in_flight(self) -> bool:
        """Whether it may still come to something."""
        return self.state in IN_FLIGHT


class Opening(Struct, frozen=True):
    """What became of asking for a run: `run` is new, or stood before, or is None and `held` why."""

    run: RetrainingRun | None
    new: bool = False
    held: str | None = None


async def open_run(
    engine: AsyncEngine,
    asked: Asked,
    *,
    now: datetime,
    cooldown: timedelta = timedelta(),
    needs_approval: bool = True,
) -> Opening:
    """Open a run, unless its cause has one, another is in flight, or the model's last was recent.

    A run that needs no approval is `approved` at once, by nobody.
    """
    async with engine.begin() as connection:
        await connection.execute(_OPENING)
        same = await _one(connection, _table.idempotency_key == asked.key)
        if same is not None:
            return Opening(same)
        held = await _held(connection, asked.model, now, cooldown)
        if held is not None:
            return Opening(None, held=held)
        row = await connection.execute(
            insert(retraining_runs)
            .values(
                idempotency_key=asked.key,
                kind=asked.kind,
                model=asked.model,
                alert_id=asked.alert_id,
                reason=asked.reason,
                opened_by=asked.opened_by,
                parameters=asked.parameters,
                state="waiting" if needs_approval else "approved",
                steps={},
                created_at=now,
            )
            .returning(retraining_runs)
        )
        return Opening(_run(row.one()), new=True)


async def get(engine: AsyncEngine, run_id: UUID) -> RetrainingRun | None:
    """A run by its id."""
    async with engine.connect() as connection:
        return await _one(connection, _table.id == run_id)


async def recent(
    engine: AsyncEngine, *, limit: int = 50, state: State | None = None
) -> list[RetrainingRun]:
    """The newest runs first."""
    statement = select(retraining_runs).order_by(_table.created_at.desc()).limit(limit)
    if state is not None:
        statement = statement.where(_table.state == state)
    async with engine.connect() as connection:
        return [_run(row) for row in await connection.execute(statement)]


async def approve(
    engine: AsyncEngine, run_id: UUID, who: str, reason: str, *, now: datetime
) -> RetrainingRun:
    """Let a waiting run begin. Errors: BadRequest where it does not wait."""
    return await _decide(engine, run_id, "approved", who, reason, now)


async def refuse(
    engine: AsyncEngine, run_id: UUID, who: str, reason: str, *, now: datetime
) -> RetrainingRun:
    """End a run that waits or has not begun. Errors: BadRequest where it is further on."""
    return await _decide(engine, run_id, "refused", who, reason, now)


@asynccontextmanager
async def claim(engine: AsyncEngine, run_id: UUID) -> AsyncIterator[bool]:
    """Whether this process alone may work on the run, until the block ends.

    It is a session's lock: it ends with the process, also with one that was killed.
    """
    key = {"key": f"retraining:run:{run_id}"}
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        granted = bool((await connection.execute(_LOCK, key)).scalar_one())
        try:
            yield granted
        finally:
            if granted:
                with suppress(SQLAlchemyError):
                    await connection.execute(_UNLOCK, key)


async def begin_step(engine: AsyncEngine, run_id: UUID, name: str, *, now: datetime) -> Step:
    """Say that a step begins, or begins again. Errors: BadRequest where the run may not run."""
    async with engine.begin() as connection:
        run = await _locked(connection, run_id)
        if run.state not in ("approved", "running"):
            raise BadRequest(f"Run {run_id} is {run.state}; only an approved run can work.")
        before = run.steps.get(name)
        step = Step("running", 1 + (before.attempts if before else 0), now)
        await _write(connection, run, {name: step}, state="running")
    return step


async def end_step(
    engine: AsyncEngine,
    run_id: UUID,
    name: str,
    *,
    now: datetime,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Say what a step came to; an `error` leaves the run to be resumed or failed."""
    async with engine.begin() as connection:
        run = await _locked(connection, run_id)
        ended = msgspec.structs.replace(
            run.steps[name],
            state="failed" if error else "done",
            finished_at=now,
            result=dict(result or {}),
            error=error,
        )
        more = {}
        if result and "dataset_sha256" in result:
            more["dataset_sha256"] = result["dataset_sha256"]
        await _write(connection, run, {name: ended}, **more)


async def replan(engine: AsyncEngine, run_id: UUID, parameters: Mapping[str, Any]) -> None:
    """Give a run another plan, and let one that failed go on."""
    async with engine.begin() as connection:
        run = await _locked(connection, run_id)
        if run.state not in ("waiting", "approved", "running", "failed"):
            raise BadRequest(f"Run {run_id} is {run.state}; open another one.")
        more = {"state": "running", "finished_at": None, "outcome": None}
        await _write(
            connection,
            run,
            {},
            parameters=dict(parameters),
            **(more if run.state == "failed" else {}),
        )


async def finish(
    engine: AsyncEngine,
    run_id: UUID,
    state: Literal["succeeded", "failed", "refused"],
    outcome: str,
    *,
    now: datetime,
    model_version_id: UUID | None = None,
) -> RetrainingRun:
    """End a run that was in flight; one that has ended stays as it is."""
    async with engine.begin() as connection:
        run = await _locked(connection, run_id)
        if run.in_flight:
            await _write(
                connection,
                run,
                {},
                state=state,
                outcome=outcome,
                finished_at=now,
                model_version_id=model_version_id or run.model_version_id,
            )
        return await _locked(connection, run_id)


async def _held(
    connection: AsyncConnection, model: str, now: datetime, cooldown: timedelta
) -> str | None:
    other = (
        await connection.execute(select(_table.id).where(_table.state.in_(IN_FLIGHT)).limit(1))
    ).scalar_one_or_none()
    if other is not None:
        return f"run {other} is in flight; there is one at a time"
    last = (
        await connection.execute(select(func.max(_table.created_at)).where(_table.model == model))
    ).scalar_one()
    if last is not None and now < last + cooldown:
        return f"the last run of {model} was opened at {last:%Y-%m-%d %H:%M}; cooldown {cooldown}"
    return None


async def _decide(
    engine: AsyncEngine,
    run_id: UUID,
    state: Literal["approved", "refused"],
    who: str,
    reason: str,
    now: datetime,
) -> RetrainingRun:
    may = ("waiting",) if state == "approved" else ("waiting", "approved")
    async with engine.begin() as connection:
        run = await _locked(connection, run_id)
        if run.state not in may:
            raise BadRequest(f"Run {run_id} is {run.state}; it cannot become {state}.")
        more = {} if state == "approved" else {"finished_at": now, "outcome": f"refused by {who}"}
        await _write(
            connection,
            run,
            {},
            state=state,
            approver=who,
            decided_at=now,
            decision_reason=reason,
            **more,
        )
        return await _locked(connection, run_id)


async def _write(
    connection: AsyncConnection, run: RetrainingRun, steps: Mapping[str, Step], **values: Any
) -> None:
    merged = msgspec.to_builtins({**run.steps, **steps})
    await connection.execute(
        update(retraining_runs).where(_table.id == run.id).values(steps=merged, **values)
    )


async def _locked(connection: AsyncConnection, run_id: UUID) -> RetrainingRun:
    statement = select(retraining_runs).where(_table.id == run_id).with_for_update()
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise BadRequest(f"There is no retraining run {run_id}.", status=404)
    return _run(row)


async def _one(connection: AsyncConnection, condition: Any) -> RetrainingRun | None:
    row = (await connection.execute(select(retraining_runs).where(condition))).one_or_none()
    return None if row is None else _run(row)


def _run(row: Row[Any]) -> RetrainingRun:
    values = dict(row._mapping)
    steps = msgspec.convert(values.pop("steps"), dict[str, Step])
    return RetrainingRun(**values, steps=steps)
