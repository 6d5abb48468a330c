"""What became of each rollout? In `rollouts` and `rollout_events`, with who and why.

A change, its event and the notice to the proxies are one transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.errors import ConfigError
from guardrails.exchange_log.retraining_tables import model_versions
from guardrails.exchange_log.rollout_tables import (
    rollout_conversations,
    rollout_events,
    rollouts,
)
from monitoring.retraining import registry
from monitoring.rollout.plan import Plan

CHANNEL = "banister_rollouts"

State = Literal["running", "paused", "promoted", "rolled_back"]
Kind = Literal["started", "step", "paused", "resumed", "promoted", "rolled_back"]

_NOTIFY = text("SELECT pg_notify(:channel, :model)")
_r, _e = rollouts.c, rollout_events.c


class Rollout(Struct, frozen=True):
    """One candidate's way into service. `champion` and `candidate` are `model@version`."""

    id: UUID
    model: str
    champion: str
    candidate: str
    state: State
    share: float
    step: int
    plan: Plan
    evidence: dict[str, Any]
    started_at: datetime
    updated_at: datetime
    reason: str | None
    started_by: str

    @property
    def open(self) -> bool:
        """Whether it is still under way."""
        return self.state in ("running", "paused")


class Event(Struct, frozen=True):
    """One change: `share` is the candidate's from then on, `detail` has who, why and figures."""

    id: int
    rollout_id: UUID
    at: datetime
    kind: Kind
    share: float
    detail: dict[str, Any]


class Change(Struct, frozen=True):
    """One event of any rollout, with what was tried."""

    at: datetime
    kind: Kind
    share: float
    model: str
    candidate: str


class Serving(Struct, frozen=True):
    """Who served a model at some time: the champion, but for the candidate's share."""

    model: str
    champion: str
    candidate: str
    share: float
    since: datetime
    kind: Kind
    rollout_id: UUID


async def start(
    engine: AsyncEngine,
    *,
    model: str,
    champion: str,
    candidate: str,
    who: str,
    why: str,
    now: datetime,
    plan: Plan | None = None,
) -> Rollout:
    """Begin a rollout: the candidate gets the share of the plan's first step.

    Errors: ConfigError for a name that is not `model@version`, while another one of this model is
    open, or where another version than `champion` serves by the latest rollout.
    """
    plan = plan or Plan()
    for label in (champion, candidate):
        if not label.startswith(f"{model}@") or label == f"{model}@":
            raise ConfigError(f"{label!r} is no version of {model!r}: write it {model}@VERSION.")
    if champion == candidate:
        raise ConfigError(f"{candidate} cannot be held against itself.")
    async with engine.begin() as connection:
        before = await _latest(connection, model)
        if before is not None and not before.open and serves(before) != champion:
            raise ConfigError(
                f"{serves(before)} serves {model} now, so it is the champion, not {champion}."
            )
        share = plan.steps[0].share
        row = {
            "model": model,
            "champion": champion,
            "candidate": candidate,
            "state": "running",
            "share": share,
            "step": 0,
            "plan": msgspec.to_builtins(plan),
            "evidence": {},
            "started_at": now,
            "updated_at": now,
            "reason": why,
            "started_by": who,
        }
        try:
            made = (await connection.execute(insert(rollouts).values(row).returning(_r.id))).one()
        except IntegrityError as error:
            raise ConfigError(
                f"A rollout of {model} is open; promote or roll it back first."
            ) from error
        await _tell(connection, made.id, model, "started", share, now, {"who": who, "why": why})
        await _stage(connection, candidate, "canary")
    found = await find(engine, made.id)
    if found is None:
        raise LookupError("the rollout that was just started is gone")
    return found


def serves(rollout: Rollout) -> str:
    """Which version has all conversations once a rollout is over, and most while it is open."""
    return rollout.candidate if rollout.state == "promoted" else rollout.champion


async def find(engine: AsyncEngine, rollout_id: UUID) -> Rollout | None:
    """One rollout by its id."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(rollouts).where(_r.id == rollout_id))).one_or_none()
    return None if row is None else _rollout(row)


async def latest(engine: AsyncEngine, model: str) -> Rollout | None:
    """The latest rollout of a model: the one that says who serves it."""
    async with engine.connect() as connection:
        return await _latest(connection, model)


async def recent(engine: AsyncEngine, *, limit: int = 50) -> list[Rollout]:
    """Rollouts of all models, newest first."""
    statement = select(rollouts).order_by(_r.started_at.desc(), _r.id).limit(limit)
    async with engine.connect() as connection:
        return [_rollout(row) for row in await connection.execute(statement)]


async def under_way(engine: AsyncEngine) -> list[tuple[UUID, str]]:
    """The rollouts that are watched, with their candidates: those that run or are held by hand."""
    states = ("running", "paused")
    statement = select(_r.id, _r.candidate).where(_r.state.in_(states)).order_by(_r.started_at)
    async with engine.connect() as connection:
        return [(row.id, row.candidate) for row in await connection.execute(statement)]


async def events(engine: AsyncEngine, rollout_id: UUID) -> list[Event]:
    """Everything that happened in a rollout, oldest first."""
    statement = select(rollout_events).where(_e.rollout_id == rollout_id).order_by(_e.id)
    async with engine.connect() as connection:
        return [Event(*row) for row in await connection.execute(statement)]


async def changes(
    connection: AsyncConnection, *, since: datetime, until: datetime, limit: int = 1_000
) -> list[Change]:
    """What happened in all rollouts in a span, the latest of it, oldest first."""
    statement = (
        select(_e.at, _e.kind, _e.share, _r.model, _r.candidate)
        .join(rollouts, _r.id == _e.rollout_id)
        .where(_e.at >= since, _e.at < until)
        .order_by(_e.at.desc(), _e.id.desc())
        .limit(limit)
    )
    return [Change(*row) for row in await connection.execute(statement)][::-1]


async def at(engine: AsyncEngine, moment: datetime) -> list[Serving]:
    """Who served each model at a moment, by its rollouts; a model without any is not there."""
    statement = (
        select(_r.model, _r.champion, _r.candidate, _e.share, _e.at, _e.kind, _r.id)
        .join(rollout_events, _e.rollout_id == _r.id)
        .where(_e.at <= moment)
        .ext(distinct_on(_r.model))
        .order_by(_r.model, _e.at.desc(), _e.id.desc())
    )
    async with engine.connect() as connection:
        return [Serving(*row) for row in await connection.execute(statement)]


async def pause(
    engine: AsyncEngine, rollout_id: UUID, *, who: str, why: str, now: datetime
) -> Rollout:
    """Hold the share where it is until it is resumed; a breach still rolls back."""
    return await _by_hand(engine, rollout_id, ("running",), "paused", who, why, now)


async def resume(
    engine: AsyncEngine, rollout_id: UUID, *, who: str, why: str, now: datetime
) -> Rollout:
    """Go on where it was paused."""
    return await _by_hand(engine, rollout_id, ("paused",), "resumed", who, why, now)


async def promote(
    engine: AsyncEngine, rollout_id: UUID, *, who: str, why: str, now: datetime
) -> Rollout:
    """Give the candidate all conversations, whatever the test has seen."""
    return await _by_hand(engine, rollout_id, ("running", "paused"), "promoted", who, why, now)


async def roll_back(
    engine: AsyncEngine, rollout_id: UUID, *, who: str, why: str, now: datetime
) -> Rollout:
    """Give the champion all conversations again, also after a promotion, if it was the latest."""
    states = ("running", "paused", "promoted")
    return await _by_hand(engine, rollout_id, states, "rolled_back", who, why, now)


async def locked(connection: AsyncConnection, rollout_id: UUID) -> Rollout | None:
    """A rollout that nobody else changes until the transaction ends; None where it is gone."""
    statement = select(rollouts).where(_r.id == rollout_id).with_for_update()
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _rollout(row)


async def keep_evidence(
    connection: AsyncConnection, rollout_id: UUID, evidence: dict[str, Any]
) -> None:
    """Write what the test of a locked rollout has seen."""
    await connection.execute(update(rollouts).where(_r.id == rollout_id).values(evidence=evidence))


async def change(
    connection: AsyncConnection,
    rollout: Rollout,
    kind: Kind,
    *,
    now: datetime,
    detail: dict[str, Any],
    step: int | None = None,
) -> None:
    """Write a change of a locked rollout with its event, and tell the proxies on commit.

    `detail` has at least `who` and `why`. `step` is the one that begins.
    """
    step = rollout.step if step is None else step
    state, share = _after(rollout, kind, step)
    values = {
        "state": state,
        "share": share,
        "step": step,
        "updated_at": now,
        "reason": detail["why"],
    }
    await connection.execute(update(rollouts).where(_r.id == rollout.id).values(values))
    if state in ("promoted", "rolled_back"):
        counted = rollout_conversations
        await connection.execute(counted.delete().where(counted.c.rollout_id == rollout.id))
    if kind == "promoted":
        await _stage(connection, rollout.candidate, "champion")
    elif kind == "rolled_back":
        await _stage(connection, rollout.candidate, "refused")
        await _stage(connection, rollout.champion, "champion")
    await _tell(connection, rollout.id, rollout.model, kind, share, now, detail)


async def _stage(connection: AsyncConnection, label: str, stage: registry.Stage) -> None:
    """Move a version on in the registry, where it stands there at all."""
    model, _, version = label.rpartition("@")
    table = model_versions.c
    statement = select(table.id).where(table.model == model, table.version == version)
    found = (await connection.execute(statement)).scalar_one_or_none()
    if found is not None:
        await registry.set_stage(connection, found, stage)


def _after(rollout: Rollout, kind: Kind, step: int) -> tuple[State, float]:
    if kind == "promoted":
        return "promoted", 1.0
    if kind == "rolled_back":
        return "rolled_back", 0.0
    share = rollout.plan.steps[step].share
    return ("paused" if kind == "paused" else "running"), share


async def _by_hand(
    engine: AsyncEngine,
    rollout_id: UUID,
    states: tuple[str, ...],
    kind: Kind,
    who: str,
    why: str,
    now: datetime,
) -> Rollout:
    async with engine.begin() as connection:
        rollout = await locked(connection, rollout_id)
        if rollout is None:
            raise ConfigError("There is no such rollout; `banister rollouts list` shows them.")
        if rollout.state not in states:
            raise ConfigError(f"The rollout of {rollout.candidate} is {rollout.state}.")
        if not rollout.open:
            newest = await _latest(connection, rollout.model)
            if newest is None or newest.id != rollout.id:
                raise ConfigError(f"A later rollout says who serves {rollout.model}.")
        await change(connection, rollout, kind, now=now, detail={"who": who, "why": why})
    found = await find(engine, rollout_id)
    if found is None:
        raise LookupError("the rollout that was just changed is gone")
    return found


async def _tell(
    connection: AsyncConnection,
    rollout_id: UUID,
    model: str,
    kind: Kind,
    share: float,
    now: datetime,
    detail: dict[str, Any],
) -> None:
    values = {
        "rollout_id": rollout_id,
        "at": now,
        "kind": kind,
        "share": share,
        "detail": detail,
    }
    await connection.execute(insert(rollout_events).values(values))
    await connection.execute(_NOTIFY, {"channel": CHANNEL, "model": model[:1_000]})


async def _latest(connection: AsyncConnection, model: str) -> Rollout | None:
    statement = (
        select(rollouts)
        .where(_r.model == model)
        .order_by(_r.started_at.desc(), _r.id.desc())
        .limit(1)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _rollout(row)


def _rollout(row: Row[Any]) -> Rollout:
    values = dict(row._mapping)
    return Rollout(**{**values, "plan": msgspec.convert(values["plan"], Plan)})
