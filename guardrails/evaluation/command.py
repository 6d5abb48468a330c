"""`banister evaluate`: what does a person type to see how good a detector is?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
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
from guardrails.evaluation.compare import Comparison, compare
from guardrails.evaluation.measures import Interval
from guardrails.evaluation.options import options_of
from guardrails.evaluation.page import page
from guardrails.evaluation.run import Report, ScoredFile, read_labelled, reports_of, score_file
from guardrails.evaluation.slices import usual_slices
from guardrails.evaluation.tiers import CascadeScorer, loaded

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
@click.option(
    "--slice",
    "slices",
    multiple=True,
    help="Report by a field of the rows, as functionality, or by language or length.",
)
@click.option(
    "--against",
    help="Compare with another version: a directory of weights, or options as JSON.",
)
@click.option(
    "--options", default="{}", help="The detector's options, as JSON; else the settings'."
)
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one self-contained page with curves and all usual slices.",
)
def evaluate(
    detector: str,
    files: tuple[Path, ...],
    labels: tuple[str, ...],
    threshold: float | None,
    slices: tuple[str, ...],
    against: str | None,
    options: str,
    out: Path | None,
    html: Path | None,
) -> None:
    """Measure DETECTOR on labelled files: AUC, recall, false positives, with 95 % intervals."""
    try:
        with loaded(detector, options_of(detector, options)) as scorer:
            chosen = _thresholds(scorer, labels, threshold)
            scored = _scored(scorer, files)
        comparisons: list[Comparison] = []
        if against is not None:
            with loaded(detector, options_of(detector, _other(against))) as other:
                others = _thresholds(other, tuple(chosen), threshold)
                comparisons = _compared(scored, _scored(other, files), chosen, others)
    except BanisterError as error:
        raise click.ClickException(error.message) from error
    reports = [
        report
        for file in scored
        for report in reports_of(
            file,
            labels=tuple(chosen),
            thresholds=chosen,
            slices=slices or (usual_slices(file.rows) if html else ()),
        )
    ]
    title = f"{scorer.name} {scorer.version}"
    shown = [report for report in reports if slices or not report.slice]
    Console().print(_table(title, shown))
    answer: dict[str, Any] = {"detector": scorer.name, "version": scorer.version}
    if comparisons:
        answer |= {"against": other.version, "comparisons": comparisons}
        Console().print(_differences(f"{title} against {other.version}", comparisons))
    if isinstance(scorer, CascadeScorer):
        cascade, share = scorer.cascade, scorer.cascade.counts.share_escalated
        Console().print(f"{share:.1%} of the texts went on to {cascade.then}.")
        answer["share_escalated"] = share
    if out:
        answer["reports"] = reports
        out.write_bytes(msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n")
    if html:
        html.write_text(page(title, reports, comparisons, now=datetime.now(UTC)), "utf-8")


def _thresholds(scorer: Scorer, labels: Sequence[str], threshold: float | None) -> dict[str, float]:
    """The threshold of each label that is wanted: the given one, the detector's own, or a half."""
    if unknown := set(labels) - set(scorer.labels):
        known = ", ".join(scorer.labels)
        raise ConfigError(f"{scorer.name} has no label {', '.join(unknown)}; it has {known}.")
    recommended = getattr(scorer, "thresholds", {})
    return {
        name: recommended.get(name, 0.5) if threshold is None else threshold
        for name in labels or tuple(scorer.labels)
    }


def _scored(scorer: Scorer, files: Sequence[Path]) -> list[ScoredFile]:
    """All files scored, with progress on stderr, so that the table can be piped."""
    with Progress(console=Console(stderr=True)) as bar:
        scored = []
        for path in files:
            task = bar.add_task(path.name, total=len(read_labelled(path)))
            scored.append(score_file(scorer, path, partial(bar.advance, task)))
    return scored


def _compared(
    these: Sequence[ScoredFile],
    others: Sequence[ScoredFile],
    thresholds: dict[str, float],
    other_thresholds: dict[str, float],
) -> list[Comparison]:
    found = []
    for this, other in zip(these, others, strict=True):
        for label, threshold in thresholds.items():
            if known := this.known(label):
                scores, truth = this.of(label, known)
                differences = compare(
                    scores,
                    other.of(label, known)[0],
                    truth,
                    (threshold, other_thresholds[label]),
                )
                found.append(Comparison(this.name, label, len(known), differences))
    return found


def _other(against: str) -> str:
    """The options of the version to compare with, as JSON."""
    return json.dumps({"directory": against}) if Path(against).is_dir() else against


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


def _differences(title: str, comparisons: list[Comparison]) -> Table:
    table = Table(title=title, caption="Paired bootstrap, 95 %. *: the interval leaves 0 out.")
    for heading in ("set", "label", "measure", "this", "other", "difference"):
        table.add_column(heading, overflow="fold")
    for found in comparisons:
        for each in found.differences:
            gap = each.difference
            table.add_row(
                found.file,
                found.label,
                each.measure,
                f"{each.this:.3f}",
                f"{each.other:.3f}",
                f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}){'*' if each.sure else ''}",
            )
    return table


def _shown(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    low, high = (f"{bound:.2f}".removeprefix("0") for bound in (interval.low, interval.high))
    return f"{interval.value:.3f}\n{low}–{high}"
