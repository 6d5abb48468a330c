"""`banister train-detector`: what does a person type to train the compact model again?"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from guardrails.inference.compact import Manifest
from guardrails.training.build import build
from guardrails.training.encoder import Schedule


@click.command("train-detector")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines, gzipped or not: text, source, labels.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("compact-model"),
    show_default=True,
    help="Directory for the weights and the manifest.",
)
@click.option("--epochs", default=1, show_default=True, type=click.IntRange(1, 50))
@click.option("--seed", default=17, show_default=True)
@click.option("--rate", default=1e-4, show_default=True, help="The highest learning rate.")
@click.option(
    "--start-from",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The encoder.pt of an earlier run, or an encoder.onnx, to train it further.",
)
@click.option(
    "--keep",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A model directory whose encoder stays: train the first stage and calibrate.",
)
@click.option(
    "--public-share",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.0, 1.0),
    help="Share of the public rows in an epoch; fewer where --start-from has seen them.",
)
@click.option(
    "--masked",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0.0, 0.5),
    help="Share of the words hidden while training.",
)
@click.option(
    "--bfloat16/--float32",
    default=False,
    show_default=True,
    help="Train in half precision: twice as fast on a processor with AMX, slow on others.",
)
@click.option("--steps", type=click.IntRange(min=1), help="End after so many batches.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256))
def train_detector(
    data: Path,
    out: Path,
    epochs: int,
    seed: int,
    rate: float,
    start_from: Path | None,
    keep: Path | None,
    public_share: float,
    masked: float,
    bfloat16: bool,
    steps: int | None,
    threads: int,
) -> None:
    """Train the compact detector on labelled rows, and write weights that `compact` loads.

    A run that was broken off goes on where it was when it is started again with the same options.
    """
    console = Console()
    schedule = Schedule(
        epochs=epochs,
        seed=seed,
        rate=rate,
        threads=threads,
        public_share=public_share,
        masked=masked,
        bfloat16=bfloat16,
        steps=steps,
    )
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("reading rows", total=None)
        manifest = build(
            data,
            out,
            schedule,
            lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
            start_from=start_from,
            keep=keep,
        )
    console.print(_table(manifest))
    console.print(f"Written to {out}. Use it with the detector option directory: {out}")


def _table(manifest: Manifest) -> Table:
    table = Table(title=f"compact {manifest.version}")
    for heading in ("label", "flag at", "block at", "cleared below"):
        table.add_column(heading)
    for label, calibration in manifest.calibration.items():
        scores = (calibration.flag.score, calibration.block.score)
        below = "any" if calibration.clear_below >= 1e9 else f"{calibration.clear_below:.2f}"
        table.add_row(label, *(f"{s:.3f}" for s in scores), below)
    return table
