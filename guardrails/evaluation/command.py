"""`banister evaluate`: what does a person type to see how good a detector is?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from guardrails.detectors import Scorer
from guardrails.errors import BanisterError, ConfigError
from guardrails.evaluation.measures import Interval
from guardrails.evaluation.run import Report, evaluate_file, read_labelled
from guardrails.evaluation.tiers import CascadeScorer, loaded
from guardrails.settings import Settings

_HEADINGS = (
    "set",
    "label",
    "rows",
    "AUC",
    "recall\n1 % FP",
    "recall\n5 % FP",
    "at",
    "recall",
    "FP",
    "right",
)


@click.command("evaluate")
@click.argument("detector")
@click.option(
    "--on",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines, gzipped or not: text, and label (0 or 1) or labels.",
)
@click.option("--label", "labels", multiple=True, help="Labels to measure; all when not given.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="One for all labels.")
@click.option("--slice", "slice_by", help="Field of the rows to report by, as functionality.")
@click.option(
    "--options", default="{}", help="The detector's options, as JSON; else the settings'."
)
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
def evaluate(
    detector: str,
    files: tuple[Path, ...],
    labels: tuple[str, ...],
    threshold: float | None,
    slice_by: str | None,
    options: str,
    out: Path | None,
) -> None:
    """Measure DETECTOR on labelled files: AUC, recall, false positives, with 95 % intervals."""
    try:
        with loaded(detector, _options(detector, options)) as scorer:
            reports = _reports(scorer, files, labels=labels, threshold=threshold, slice_by=slice_by)
    except BanisterError as error:
        raise click.ClickException(error.message) from error
    Console().print(_table(f"{scorer.name} {scorer.version}", reports))
    answer: dict[str, Any] = {"detector": scorer.name, "version": scorer.version}
    if isinstance(scorer, CascadeScorer):
        cascade, share = scorer.cascade, scorer.cascade.counts.share_escalated
        Console().print(f"{share:.1%} of the texts went on to {cascade.then}.")
        answer["share_escalated"] = share
    if out:
        answer["reports"] = reports
        out.write_bytes(msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n")


def _reports(
    scorer: Scorer,
    files: Sequence[Path],
    *,
    labels: Sequence[str],
    threshold: float | None,
    slice_by: str | None,
) -> list[Report]:
    """The reports on all files, with progress on stderr, so that the table can be piped."""
    if unknown := set(labels) - set(scorer.labels):
        known = ", ".join(scorer.labels)
        raise ConfigError(f"{scorer.name} has no label {', '.join(unknown)}; it has {known}.")
    recommended = getattr(scorer, "thresholds", {})
    wanted = labels or tuple(scorer.labels)
    chosen = {
        name: recommended.get(name, 0.5) if threshold is None else threshold for name in wanted
    }
    reports: list[Report] = []
    with Progress(console=Console(stderr=True)) as bar:
        for path in files:
            task = bar.add_task(path.name, total=len(read_labelled(path)))
            reports += evaluate_file(
                scorer,
                path,
                labels=wanted,
                thresholds=chosen,
                slice_by=slice_by,
                progress=partial(bar.advance, task),
            )
    return reports


def _options(name: str, text: str) -> dict[str, dict[str, Any]]:
    """The options of all detectors by the settings, and of this one by `text` where it says any."""
    try:
        own = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--options is not JSON: {error}") from error
    if not isinstance(own, dict):
        raise ConfigError("--options must be a JSON object.")
    configured = Settings().detectors
    return {**configured, name: own} if own else configured


def _table(title: str, reports: list[Report]) -> Table:
    table = Table(
        title=title,
        caption="FP: share of harmless texts flagged. Under each value its 95 % interval.",
        padding=(0, 0),
    )
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for report in reports:
        for found in report.measures:
            table.add_row(
                report.slice or report.file,
                found.label,
                f"{found.positives} +\n{found.negatives} -",
                _shown(found.auc),
                _shown(found.recall_at_1),
                _shown(found.recall_at_5),
                f"{found.threshold:.2f}",
                _shown(found.recall),
                _shown(found.false_positives),
                _shown(found.accuracy),
            )
    return table


def _shown(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    low, high = (f"{bound:.2f}".removeprefix("0") for bound in (interval.low, interval.high))
    return f"{interval.value:.3f}\n{low}–{high}"
