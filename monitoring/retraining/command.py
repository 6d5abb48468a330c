"""`banister retrain`: what does a person type to train a model again, and to decide about it?"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine, migrate, open_database
from guardrails.errors import BadRequest
from guardrails.settings import Settings
from monitoring.alerts import records as alerts
from monitoring.retraining import compiled, registry, runs, trigger
from monitoring.retraining.execute import execute, run_step
from monitoring.retraining.plan import STEPS, Plan
from monitoring.retraining.runs import Asked, RetrainingRun
from monitoring.retraining.tables import run_table, runs_table, versions_table
from monitoring.retraining.work import Told

T = TypeVar("T")

_PATH = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _now() -> datetime:
    return datetime.now(UTC)


@click.group(invoke_without_command=True)
@click.option("--kind", type=click.Choice(["language_model", "detector"]), default="language_model")
@click.option("--alert", type=click.UUID, help="Train on this alert's exchanges too.")
@click.option("--reason", default="asked for by hand", show_default=True)
@click.option("--key", help="The same key opens one run, ever; by default a new one.")
@click.option("--examples", multiple=True, type=_FILE, help="Reviewed pairs, JSON lines.")
@click.option("--data", type=_FILE, help="The rows that the detector was trained on.")
@click.option("--first-stage-only", is_flag=True, help="Keep the detector's encoder as it is.")
@click.option("--steps", type=click.IntRange(1))
@click.option("--batch", type=click.IntRange(1))
@click.option("--tokens", type=click.IntRange(16))
@click.option("--prompts", type=click.IntRange(1))
@click.option("--answer-tokens", type=click.IntRange(1))
@click.option("--most-rows", type=click.IntRange(1))
@click.option("--least-rows", type=click.IntRange(2))
@click.option("--seconds", type=click.FloatRange(1), help="Most that the run may work.")
@click.option("--approval/--no-approval", default=False, help="Wait for a person first.")
@click.option("--cooldown/--no-cooldown", default=True)
@click.option("--resume", type=click.UUID, metavar="RUN", help="Go on where this run stopped.")
@click.option("--kfp", is_flag=True, help="Run the steps through kfp.local, a process each.")
@click.option("--compile", "target", type=_PATH, help="Write the pipeline as YAML, and end.")
@click.option(
    "--image", default=compiled.IMAGE, show_default=True, help="What the YAML's steps run in."
)
@click.pass_context
def retrain(ctx: click.Context, **options: Any) -> None:
    """Train a model on what people reviewed, judge it, register it, and begin its rollout."""
    if ctx.invoked_subcommand is not None:
        return
    if options["target"] is not None:
        compiled.write(options["target"], image=options["image"])
        Console().print(f"Written to {options['target']}.")
        return
    settings = Settings()
    workspace = workspace_of(settings)

    async def work(engine: AsyncEngine) -> RetrainingRun:
        if options["resume"] is not None:
            run = await _resumed(engine, options["resume"], options["seconds"])
        else:
            run = await _opened(engine, settings, options)
        if run.state == "waiting":
            return run
        if options["kfp"]:
            await asyncio.to_thread(compiled.run_here, str(run.id), workspace)
            return await _run(engine, run.id)
        with _progress() as told:
            return await execute(engine, run.id, settings, workspace=workspace, told=told, now=_now)

    run = _with_database(settings, work)
    console = Console()
    console.print(run_table(run))
    if run.state == "waiting":
        console.print(f"It waits: banister retrain approve {run.id} --reason WHY")
    if run.state == "failed":
        raise SystemExit(1)


@retrain.command("open")
@click.option("--run", "run_id", default="", help="A run that is open already.")
@click.option("--reason", default="by the calendar", show_default=True)
@click.option("--key", help="The same key opens one run, ever.")
@click.option("--wait-hours", default=0.0, help="How long to wait for a person's approval.")
def open_(run_id: str, reason: str, key: str | None, wait_hours: float) -> None:
    """Open a run and write its id, or nothing where it is held; for pipelines."""
    settings = Settings()

    async def work(engine: AsyncEngine) -> str:
        if run_id:
            run = await _run(engine, UUID(run_id))
        else:
            asked = await _asked(engine, settings, reason, key)
            own = settings.retraining
            opening = await runs.open_run(
                engine,
                asked,
                now=_now(),
                cooldown=timedelta(hours=own.cooldown_hours),
                needs_approval=own.approval,
            )
            if opening.run is None:
                click.echo(f"Held: {opening.held}.", err=True)
                return ""
            run = opening.run
        until = _now() + timedelta(hours=wait_hours)
        while run.state == "waiting" and _now() < until:
            await asyncio.sleep(10)
            run = await _run(engine, run.id)
        if run.state == "waiting":
            raise BadRequest(f"Run {run.id} waits: banister retrain approve {run.id} --reason WHY")
        return str(run.id)

    click.echo(_with_database(settings, work))


@retrain.command("step")
@click.argument("name", type=click.Choice(STEPS))
@click.option("--run", "run_id", required=True, help="Its id; nothing is done where it is empty.")
@click.option("--workspace", type=_PATH, help="A directory that every step reaches.")
@click.option("--into", type=_PATH, help="Where this step writes, where none is shared.")
@click.option(
    "--given", multiple=True, metavar="STEP=DIRECTORY", help="Where an earlier one wrote."
)
def step(
    name: str, run_id: str, workspace: Path | None, into: Path | None, given: tuple[str, ...]
) -> None:
    """Do one step of a run; what Kubeflow, Vertex AI and Airflow call."""
    if not run_id:
        click.echo("There is no run: nothing to do.")
        return
    settings = Settings()
    places = dict(pair.split("=", 1) for pair in given)

    async def work(engine: AsyncEngine) -> RetrainingRun:
        with _progress() as told:
            return await run_step(
                engine,
                UUID(run_id),
                name,
                settings,
                workspace=workspace or workspace_of(settings),
                told=told,
                now=_now,
                into=into,
                given={step: Path(directory) for step, directory in places.items()},
            )

    run = _with_database(settings, work)
    result = run.steps[name].result if name in run.steps else {}
    click.echo(json.dumps({"run": str(run.id), "state": run.state, "step": name, **result}))


@retrain.command("list")
@click.option("--limit", default=20, show_default=True)
@click.option("--models", is_flag=True, help="The versions in the registry instead.")
def list_(limit: int, models: bool) -> None:
    """Show the latest runs, or the registry's versions."""
    console = Console()

    async def work(engine: AsyncEngine) -> Any:
        if models:
            return versions_table(await registry.versions(engine, limit=limit))
        return runs_table(await runs.recent(engine, limit=limit))

    console.print(_with_database(Settings(), work))


@retrain.command()
@click.argument("run_id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True)
def show(run_id: UUID, as_json: bool) -> None:
    """Show one run: its steps, its gates, what came of it."""
    run = _with_database(Settings(), lambda engine: _run(engine, run_id))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(run)).decode())
    else:
        Console().print(run_table(run))


@retrain.command()
@click.argument("run_id", type=click.UUID)
@click.option("--reason", required=True)
@click.option("--by", default=getpass.getuser)
def approve(run_id: UUID, reason: str, by: str) -> None:
    """Let a waiting run begin; the monitor then does its work."""
    run = _with_database(
        Settings(), lambda engine: runs.approve(engine, run_id, by, reason, now=_now())
    )
    Console().print(f"Approved by {by}. banister retrain --resume {run.id} begins it here and now.")


@retrain.command()
@click.argument("run_id", type=click.UUID)
@click.option("--reason", required=True)
@click.option("--by", default=getpass.getuser)
def refuse(run_id: UUID, reason: str, by: str) -> None:
    """End a run that has not begun."""
    _with_database(Settings(), lambda engine: runs.refuse(engine, run_id, by, reason, now=_now()))
    Console().print(f"Refused by {by}.")


def workspace_of(settings: Settings) -> Path:
    """Where runs keep their files on this machine."""
    return settings.data_dir.expanduser().absolute() / "retraining"


async def _opened(
    engine: AsyncEngine, settings: Settings, options: Mapping[str, Any]
) -> RetrainingRun:
    names = set(Plan.__struct_fields__) & set(options)
    changes = {name: options[name] or None for name in names}
    if options["examples"]:
        changes["examples"] = tuple(str(path.absolute()) for path in options["examples"])
    if options["data"]:
        changes["data"] = str(options["data"].absolute())
    asked = await _asked(
        engine, settings, options["reason"], options["key"], options["alert"], **changes
    )
    own = settings.retraining
    opening = await runs.open_run(
        engine,
        asked,
        now=_now(),
        cooldown=timedelta(hours=own.cooldown_hours if options["cooldown"] else 0),
        needs_approval=options["approval"],
    )
    if opening.run is None:
        raise BadRequest(f"No run was opened: {opening.held}.")
    return opening.run


async def _asked(
    engine: AsyncEngine,
    settings: Settings,
    reason: str,
    key: str | None,
    alert_id: UUID | None = None,
    **changes: Any,
) -> Asked:
    who = getpass.getuser()
    if alert_id is not None:
        alert = await alerts.find(engine, alert_id)
        if alert is None:
            raise BadRequest(f"There is no alert {alert_id}.", status=404)
        changes["exchange_ids"] = tuple(UUID(one) for one in alert.evidence.exchange_ids)
    plan = await trigger.planned(engine, settings, _now(), **changes)
    return Asked(
        key=key or f"hand:{uuid4()}",
        model=plan.model,
        kind=plan.kind,
        reason=reason,
        opened_by=who,
        alert_id=alert_id,
        parameters=msgspec.to_builtins(plan),
    )


async def _resumed(engine: AsyncEngine, run_id: UUID, seconds: float | None) -> RetrainingRun:
    run = await _run(engine, run_id)
    if run.state == "failed" or seconds is not None:
        more = {} if seconds is None else {"seconds": seconds}
        await runs.replan(engine, run_id, {**run.parameters, **more})
    return await _run(engine, run_id)


async def _run(engine: AsyncEngine, run_id: UUID) -> RetrainingRun:
    run = await runs.get(engine, run_id)
    if run is None:
        raise BadRequest(f"There is no retraining run {run_id}.", status=404)
    return run


def _with_database(settings: Settings, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def connected(url: str) -> T:
        engine = make_engine(url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    with open_database(settings) as url:
        migrate(url)
        return asyncio.run(connected(url))


@contextmanager
def _progress() -> Iterator[Told]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
    ) as bar:
        task = bar.add_task("retraining", total=None)

        def told(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        yield told
