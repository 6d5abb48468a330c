"""`banister batch FILE`: what does a person type to check or ask a whole file?"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from guardrails.batch import on_ray
from guardrails.batch.judge import How
from guardrails.batch.shards import Parts, Shard
from guardrails.launch.addresses import answers, inference_socket
from guardrails.launch.children import Children
from guardrails.launch.programs import Programs
from guardrails.settings import Settings
from guardrails.types import Stage

KEY = "BANISTER_API_KEY"
_IN_A_SHARD = {"check": 250, "ask": 16}


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="FILE.out by default.")
@click.option("--check", "mode", flag_value="check", default="check", help="Check only (default).")
@click.option("--ask", "mode", flag_value="ask", help="Ask the model, through a running proxy.")
@click.option("--url", help="The proxy to ask; by default the one of the settings.")
@click.option("--model", help="The model to ask where a line names none.")
@click.option(
    "--stage",
    type=click.Choice([Stage.INPUT.value, Stage.OUTPUT.value]),
    default=Stage.INPUT.value,
    show_default=True,
    help="Where in an exchange the texts stand, where a line does not say.",
)
@click.option("--route", default="default", show_default=True)
@click.option("--tenant", default="default", show_default=True)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1)
@click.option("--shard-lines", type=click.IntRange(1), help="Lines that one worker takes at once.")
@click.option("--address", help="A Ray cluster's; without it the batch runs here.")
def batch(
    file: Path,
    out: Path | None,
    mode: str,
    url: str | None,
    model: str | None,
    stage: str,
    route: str,
    tenant: str,
    workers: int,
    shard_lines: int | None,
    address: str | None,
) -> None:
    """Check each JSON line of FILE by the policy, or ask the model: one line out for each line.

    Answers stand in the order of the lines. A batch that was killed goes on when the same command
    is given again: nothing is lost, and nothing is written twice.
    """
    settings = Settings()
    target = (out or file.with_name(f"{file.name}.out")).absolute()
    how = How(stage=Stage(stage), route=route, tenant=tenant)
    if mode == "ask":
        ask = url or f"http://{settings.host}:{settings.port}/v1"
        key = os.environ.get(KEY)
        how = msgspec.structs.replace(how, ask=ask, model=model, key=key)
    parts = Parts(target)
    recorded = msgspec.to_builtins(msgspec.structs.replace(how, key=None))
    policy = settings.policy.read_text(encoding="utf-8")
    told = {"how": recorded, "policy": policy if mode == "check" else None}
    shards = parts.begin(file, shard_lines or _IN_A_SHARD[mode], told)
    missing = parts.missing(shards)
    console = Console(stderr=True)
    if len(missing) < len(shards):
        console.print(f"{len(shards) - len(missing)} of {len(shards)} shards are done already.")
    _work(file, target, settings, how, missing, shards, workers, address, console)
    lines = parts.assemble(shards)
    console.print(f"{lines:,} lines written to {target}.")


def _work(
    file: Path,
    target: Path,
    settings: Settings,
    how: How,
    missing: list[Shard],
    shards: list[Shard],
    workers: int,
    address: str | None,
    console: Console,
) -> None:
    if not missing:
        return
    data_dir = settings.data_dir.expanduser().absolute()
    environment = {k: v for k, v in os.environ.items() if k.startswith("BANISTER_")}
    environment["BANISTER_DATA_DIR"] = str(data_dir)
    config = Path(os.environ.get("BANISTER_CONFIG", "banister.yaml"))
    if config.exists():
        environment["BANISTER_CONFIG"] = str(config.absolute())
    with (
        asyncio.Runner() as runner,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,}/{task.total:,} lines"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bar,
    ):
        total = sum(shard.lines for shard in shards)
        left = sum(shard.lines for shard in missing)
        task = bar.add_task("loading the detectors", total=total, completed=total - left)
        children = Children(console.print)
        try:
            if how.ask is None and not address and not answers(inference_socket(data_dir)):
                # One for all workers of this machine; each loading its own would cost memory.
                runner.run(children.start(Programs(settings).inference()))
            for done in on_ray.run(
                file.absolute(),
                target,
                missing,
                how,
                workers=workers,
                address=address,
                environment=environment,
            ):
                bar.update(
                    task,
                    description="checking" if how.ask is None else "asking",
                    advance=done["lines"],
                )
        finally:
            with suppress(ProcessLookupError):
                runner.run(children.stop())
