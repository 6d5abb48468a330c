"""`banister calibrate`: what does a person type to get a threshold that keeps a stated risk?"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from guardrails.errors import BanisterError, ConfigError
from guardrails.evaluation.options import options_of
from guardrails.evaluation.risk import Guarantee, Rate, choose
from guardrails.evaluation.run import read_labelled, score_file
from guardrails.evaluation.tiers import loaded


@click.command("calibrate")
@click.argument("detector")
@click.option(
    "--on",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Reviewed rows, JSON lines, gzipped or not: text, and label (0 or 1) or labels.",
)
@click.option("--label", required=True, help="The detector's label to choose a threshold for.")
@click.option(
    "--risk",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The highest rate of errors to accept.",
)
@click.option(
    "--confidence",
    default=0.95,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="How sure the rate has to be.",
)
@click.option("--on-average", is_flag=True, help="Keep the risk on average; needs fewer rows.")
@click.option(
    "--rate",
    default="false-positives",
    show_default=True,
    type=click.Choice(["false-positives", "misses"]),
    help="Which error the risk is about.",
)
@click.option(
    "--options", default="{}", help="The detector's options, as JSON; else the settings'."
)
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
def calibrate(
    detector: str,
    file: Path,
    label: str,
    risk: float,
    confidence: float,
    on_average: bool,
    rate: Rate,
    options: str,
    out: Path | None,
) -> None:
    """Choose a threshold for DETECTOR from reviewed examples, with a guarantee.

    The examples must be drawn as the texts to come will be, and must not have been used to train
    the detector or to choose this label.
    """
    try:
        with loaded(detector, options_of(detector, options)) as scorer:
            if label not in scorer.labels:
                known = ", ".join(scorer.labels)
                raise ConfigError(f"{detector} has no label {label}; it has {known}.")
            with Progress(console=Console(stderr=True)) as bar:
                task = bar.add_task(file.name, total=len(read_labelled(file)))
                scored = score_file(scorer, file, lambda done: bar.advance(task, done))
        found = choose(
            label,
            *scored.of(label, scored.known(label)),
            risk=risk,
            confidence=None if on_average else confidence,
            rate=rate,
        )
    except BanisterError as error:
        raise click.ClickException(error.message) from error
    for line in _lines(found):
        click.echo(line)
    if out:
        answer = {"detector": scorer.name, "version": scorer.version, "file": file.name}
        answer |= msgspec.to_builtins(found) | {"says": found.says}
        out.write_bytes(msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n")


def _lines(found: Guarantee) -> list[str]:
    lines = [
        f"{found.label}: threshold {found.threshold:g}",
        found.says,
        f"Seen: {found.errors} of {found.rows} ({found.errors / found.rows:.2%});"
        f" upper bound {found.bound:.2%}.",
    ]
    if found.price:
        lost = "missed" if found.rate == "false-positives" else "flagged although harmless"
        p = found.price
        lines.append(f"Its price: {p.value:.1%} ({p.low:.1%} to {p.high:.1%}) {lost}.")
    lines.append("It holds for this detector version, and for texts drawn as these rows were.")
    return lines
