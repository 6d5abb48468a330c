"""How does a run come from its plan to its end, step by step, whatever stops it in between?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import BadRequest, BanisterError
from guardrails.faults import fault_of
from guardrails.settings import Settings
from monitoring.retraining import runs
from monitoring.retraining.kinds import module_of
from monitoring.retraining.plan import STEPS, Evaluated, Plan, Promoted, Registered
from monitoring.retraining.promote import promote
from monitoring.retraining.register import register
from monitoring.retraining.runs import RetrainingRun
from monitoring.retraining.work import Told, Work, directories

MOST_ATTEMPTS = 3
"""How often a step may begin before its run has failed."""


async def execute(
    engine: AsyncEngine,
    run_id: UUID,
    settings: Settings,
    *,
    workspace: Path,
    told: Told,
    now: Callable[[], datetime],
) -> RetrainingRun:
    """Do every step that is not done yet, in order, in this process.

    Errors: BadRequest where the run may not work, or another process works on it.
    """
    for step in STEPS:
        run = await run_step(
            engine, run_id, step, settings, workspace=workspace, told=told, now=now
        )
        if not run.in_flight:
            break
    return run


async def run_step(
    engine: AsyncEngine,
    run_id: UUID,
    step: str,
    settings: Settings,
    *,
    workspace: Path,
    told: Told,
    now: Callable[[], datetime],
    into: Path | None = None,
    given: Mapping[str, Path] = {},
) -> RetrainingRun:
    """Do one step, unless its result stands; the last one ends the run.

    `into` and `given` take the place of the workspace's directories, where steps share no disk.
    Errors: what the step raised, once it is on record.
    """
    async with runs.claim(engine, run_id) as granted:
        if not granted:
            raise BadRequest(f"Another process works on run {run_id}.")
        run = await _run(engine, run_id)
        if not run.in_flight:
            return run
        places = {**directories(workspace, run), **given}
        work = Work(
            step=step,
            run=run,
            plan=msgspec.convert(run.parameters, Plan),
            into=into or places[step],
            given=places,
            engine=engine,
            settings=settings,
            told=told,
            now=now,
            seconds=_left(run),
        )
        result = work.done()
        if result is None or run.steps.get(step) is None or run.steps[step].state != "done":
            result = await _do(work, result)
        if isinstance(result, Promoted):
            return await _end(work, result)
        return await _run(engine, run_id)


async def _do(work: Work, result: Any) -> Any:
    begun = await runs.begin_step(work.engine, work.run.id, work.step, now=work.now())
    try:
        if result is None:
            work.into.mkdir(parents=True, exist_ok=True)
            if work.seconds <= 0:
                raise BadRequest("The run's time was over; give it more seconds and resume it.")
            result = await _step_of(work)(work)
            work.keep(result)
    except Exception as error:
        ours = isinstance(error, BanisterError)
        told = error.message if isinstance(error, BanisterError) else fault_of(error)
        await runs.end_step(work.engine, work.run.id, work.step, now=work.now(), error=told)
        if ours or begun.attempts >= MOST_ATTEMPTS:
            await runs.finish(
                work.engine, work.run.id, "failed", f"{work.step}: {told}", now=work.now()
            )
        raise
    await runs.end_step(
        work.engine, work.run.id, work.step, now=work.now(), result=msgspec.to_builtins(result)
    )
    return result


def _step_of(work: Work) -> Callable[[Work], Awaitable[Any]]:
    if work.step == "promote":
        return promote
    kind = module_of(work.plan.kind)
    if work.step == "register":

        async def registered(work: Work) -> Registered:
            return await register(work, await kind.weights(work), kind.packages())

        return registered
    step: Callable[[Work], Awaitable[Any]] = getattr(kind, work.step)
    return step


async def _end(work: Work, promoted: Promoted) -> RetrainingRun:
    registered = work.before("register", Registered)
    evaluated = work.before("evaluate", Evaluated)
    failed = [gate.name for gate in evaluated.gates if not gate.passed]
    outcome = f"{registered.name}: {promoted.why}"
    if failed:
        outcome += f" ({', '.join(failed)})"
    return await runs.finish(
        work.engine,
        work.run.id,
        "refused" if registered.stage == "refused" else "succeeded",
        outcome,
        now=work.now(),
        model_version_id=registered.version_id,
    )


async def _run(engine: AsyncEngine, run_id: UUID) -> RetrainingRun:
    run = await runs.get(engine, run_id)
    if run is None:
        raise BadRequest(f"There is no retraining run {run_id}.", status=404)
    return run


def _left(run: RetrainingRun) -> float:
    """The seconds of the budget that the steps so far have left."""
    spent = sum(
        (step.finished_at - step.started_at).total_seconds()
        for step in run.steps.values()
        if step.finished_at is not None
    )
    return float(run.parameters.get("seconds", 0.0)) - spent
