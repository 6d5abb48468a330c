"""`banister rollouts`: start, watch, hold and end a rollout; and who answered at some time."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine, migrate, open_database
from guardrails.errors import ConfigError
from guardrails.settings import Settings
from monitoring.rollout import answers, controller, publish, records, simulate
from monitoring.rollout.evidence import Evidence
from monitoring.rollout.plan import plan_of
from monitoring.rollout.records import Event, Rollout

Found = TypeVar("Found")
Change = Callable[..., Coroutine[Any, Any, Rollout]]

_STYLES = {"running": "cyan", "paused": "yellow", "promoted": "green", "rolled_back": "red"}
_who = click.option("--who", default=getpass.getuser, help="Who decides; you, if not said.")
_why = click.option("--why", required=True, help="The reason, for the record.")
_at = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"])


@click.group()
def rollouts() -> None:
    """Take a new version of a model into service step by step."""


@rollouts.command("list")
@click.option("--limit", default=20, show_default=True)
def list_(limit: int) -> None:
    """Show the latest rollouts, newest first."""
    found = _run(lambda engine: records.recent(engine, limit=limit))
    if not found:
        click.echo("There are no rollouts; begin one with `banister rollouts start`.")
        return
    table = Table("id", "candidate", "champion", "state", "share", "since", "by", "why", box=None)
    for rollout in found:
        table.add_row(
            rollout.id.hex[:8],
            rollout.candidate,
            rollout.champion,
            f"[{_STYLES[rollout.state]}]{rollout.state}",
            f"{rollout.share:.0%}",
            f"{rollout.updated_at:%Y-%m-%d %H:%M:%S}",
            rollout.started_by,
            rollout.reason or "",
        )
    Console().print(table)


@rollouts.command()
@click.argument("rollout")
def show(rollout: str) -> None:
    """Show what happened in ROLLOUT (an id, or its beginning), and what its test has seen."""

    async def read(engine: AsyncEngine) -> tuple[Rollout, list[Event]]:
        found = await _named(engine, rollout)
        return found, await records.events(engine, found.id)

    found, events = _run(read)
    console = Console()
    evidence = msgspec.convert(found.evidence, Evidence)
    step = found.plan.steps[found.step]
    console.print(
        f"[bold]{found.candidate}[/bold] against {found.champion}: "
        f"[{_STYLES[found.state]}]{found.state}[/], {found.share:.0%} of conversations"
    )
    if found.open:
        console.print(
            f"step {found.step + 1} of {len(found.plan.steps)}: {evidence.seen} of "
            f"{step.conversations} conversations, {evidence.checked} of them checked; at least "
            f"{step.seconds:g} s since {found.updated_at:%H:%M:%S}"
        )
    console.print(
        f"evidence of harm {evidence.strength:.2f}; {1 / found.plan.false_rollback:.0f} rolls back"
    )
    console.print(_figures(evidence))
    table = Table("at (UTC)", "what", "share", "by", "why", box=None)
    for event in events:
        who, why = event.detail["who"], event.detail["why"]
        table.add_row(f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind, f"{event.share:.0%}", who, why)
    console.print(table)


@rollouts.command()
@click.argument("candidate")
@click.option("--champion", help="Which version serves now; needed for a model's first rollout.")
@click.option(
    "--plan",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Steps in YAML or JSON; see docs/rollout.md.",
)
@_who
@_why
def start(candidate: str, champion: str | None, path: Path | None, who: str, why: str) -> None:
    """Begin to move conversations to CANDIDATE, written model@version."""
    model = candidate.rpartition("@")[0]
    settings = Settings()
    plan = plan_of(path or settings.rollout_plan)
    versions_dir = settings.versions_dir

    async def begin(engine: AsyncEngine) -> Rollout:
        before = await records.latest(engine, model)
        serving = champion or (None if before is None else records.serves(before))
        if serving is None:
            raise ConfigError(f"No rollout says which version of {model!r} serves: --champion.")
        if versions_dir is not None:
            await publish.publish(engine, versions_dir, candidate)
        return await records.start(
            engine,
            model=model,
            champion=serving,
            candidate=candidate,
            who=who,
            why=why,
            now=datetime.now(UTC),
            plan=plan,
        )

    _say(_run(begin))


def _verb(name: str, change: Change, words: str) -> None:
    @rollouts.command(name, help=words)
    @click.argument("rollout")
    @_who
    @_why
    def verb(rollout: str, who: str, why: str) -> None:
        async def act(engine: AsyncEngine) -> Rollout:
            found = await _named(engine, rollout)
            return await change(engine, found.id, who=who, why=why, now=datetime.now(UTC))

        _say(_run(act))


_verb("pause", records.pause, "Hold the share of ROLLOUT; harm still rolls it back.")
_verb("resume", records.resume, "Let ROLLOUT go on where it was paused.")
_verb("promote", records.promote, "Give the candidate of ROLLOUT all conversations now.")
_verb("rollback", records.roll_back, "Give the champion of ROLLOUT all conversations again, now.")


@rollouts.command()
@click.argument("moment", type=_at)
def at(moment: datetime) -> None:
    """Show which version answered at MOMENT (UTC where it names no zone)."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    found = _run(lambda engine: answers.at(engine, aware))
    if not found:
        click.echo("No model had a rollout by then, and nothing was answered around that time.")
        return
    table = Table("model", "version", "share", "by", "answered", box=None)
    for one in found:
        share = "" if one.share is None else f"{one.share:.0%}"
        by = "the settings" if one.rollout_id is None else f"rollout {one.rollout_id.hex[:8]}"
        table.add_row(one.model, one.version, share, by, f"{one.answered:,}")
    Console().print(table)
    click.echo(f"Answered: from 5 minutes before to 5 minutes after {aware:%Y-%m-%d %H:%M:%S} UTC.")


@rollouts.command("simulate")
@click.option("--trials", default=400, show_default=True)
@click.option("--seed", default=7, show_default=True)
def simulate_(trials: int, seed: int) -> None:
    """Measure how often a rollout is rolled back wrongly, and how soon where it is right."""
    console = Console()
    with console.status("simulated rollouts"):
        found = simulate.run(trials, seed)
    table = Table("candidate", "rolled back", "conversations", "of all", "at", box=None)
    for one in found:
        table.add_row(
            one.name,
            f"{one.rolled_back:.1%}",
            "" if one.median is None else f"{one.median:,} (90 %: {one.p90:,})",
            "" if one.median_all is None else f"{one.median_all:,}",
            "" if one.share is None else f"{one.share:.0%}",
        )
    console.print(table)


def _figures(evidence: Evidence) -> Table:
    table = Table("metric", "candidate", "champion", "evidence", box=None)
    for name, figure in controller.figures(evidence)["metrics"].items():
        mine, other = figure["candidate"], figure["champion"]
        table.add_row(
            name,
            f"{mine['hits']} of {mine['n']}",
            f"{other['hits']} of {other['n']}",
            f"{figure['evidence']:.2f}",
        )
    return table


async def _named(engine: AsyncEngine, name: str) -> Rollout:
    """The rollout whose id begins so; of a model's name the latest."""
    latest = await records.latest(engine, name)
    if latest is not None:
        return latest
    start = name.replace("-", "").lower()
    found = [r for r in await records.recent(engine, limit=1_000) if r.id.hex.startswith(start)]
    if len(found) != 1:
        raise ConfigError(
            f"{len(found)} rollouts are called {name!r}; `banister rollouts list` shows them."
        )
    return found[0]


def _say(rollout: Rollout) -> None:
    click.echo(
        f"Rollout {rollout.id.hex[:8]} of {rollout.candidate} is {rollout.state}: "
        f"{rollout.share:.0%} of conversations."
    )


def _run(work: Callable[[AsyncEngine], Coroutine[Any, Any, Found]]) -> Found:
    async def go(url: str) -> Found:
        engine = make_engine(url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    with open_database(Settings()) as url:
        migrate(url)
        return asyncio.run(go(url))
