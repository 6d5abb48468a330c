"""`banister simulate-monitoring`: how often monitoring cries wolf, and how soon it sees drift."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from monitoring.simulation import trials
from monitoring.simulation.trials import FalseAlarms, Found

TARGET = 0.25
TARGET_HIGH = 0.5
WIDTH = 150


class Report(msgspec.Struct, frozen=True):
    """All that was seen, as it is written with `--json`."""

    seed: int
    a_day: int
    seconds: float
    false_alarms: FalseAlarms
    prompt_false_alarms: int
    prompt_months: int
    found: list[Found]


@click.command()
@click.option("--months", default=1_000, show_default=True, help="Months without drift.")
@click.option("--trials", "count", default=200, show_default=True, help="Months for each drift.")
@click.option("--topic-trials", default=20, show_default=True, help="Months with a new topic.")
@click.option("--prompt-months", default=10, show_default=True, help="Months of prompts as usual.")
@click.option("--per-day", default=trials.A_DAY, show_default=True, help="Exchanges without drift.")
@click.option("--seed", default=6, show_default=True)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path))
def simulate_monitoring(
    months: int,
    count: int,
    topic_trials: int,
    prompt_months: int,
    per_day: int,
    seed: int,
    path: Path | None,
) -> None:
    """Measure monitoring's false alarms and delays on simulated traffic."""
    started = time.monotonic()
    rng = np.random.default_rng(seed)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<38}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:

        def step(name: str, total: int) -> trials.Told:
            task = progress.add_task(name, total=total)
            return lambda done: progress.advance(task, done)

        null = trials.false_alarms(months, rng, step("nothing happens", months), a_day=per_day)
        found = [
            trials.found(one, count, rng, step(f"{one.name}, {one.a_day} a day", count))
            for one in trials.SCENARIOS
        ]
        if topic_trials:
            found.append(trials.new_topic(topic_trials, rng, step("new topic", topic_trials)))
        usual = trials.usual_prompts(prompt_months, rng, step("prompts as usual", prompt_months))
    seconds = time.monotonic() - started
    report = Report(seed, per_day, seconds, null, usual, prompt_months, found)
    out = Console()
    # A table that goes into a file need not fit a window.
    _print(out if out.is_terminal else Console(width=WIDTH), report)
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def _print(console: Console, report: Report) -> None:
    null = report.false_alarms
    table = Table(title="False alarms a month, all metrics and slices", title_justify="left")
    for name in ("", "a month", "upper 95 %", "target"):
        table.add_column(name, justify="left" if not name else "right")
    met = null.a_month <= TARGET and null.high <= TARGET_HIGH
    table.add_row(
        f"Banister ({null.streams} streams, {null.months:,} months, {null.alarms} alarms)",
        f"{null.a_month:.3f}",
        f"{null.high:.3f}",
        f"{TARGET} / {TARGET_HIGH} {'met' if met else 'MISSED'}",
    )
    table.add_row("Evidently's defaults, all traffic only", f"{null.evidently_all:.1f}", "", "")
    table.add_row("Evidently's defaults, with the slices", f"{null.evidently_slices:.1f}", "", "")
    if report.prompt_months:
        high = trials.poisson_upper(report.prompt_false_alarms) / report.prompt_months
        table.add_row(
            f"Banister, prompts drawn as vectors ({report.prompt_months} months)",
            f"{report.prompt_false_alarms / report.prompt_months:.3f}",
            f"{high:.3f}",
            "",
        )
    console.print(table)
    table = Table(title="Drifts that were put there", title_justify="left")
    table.add_column("what")
    headers = ("a day", "median days", "90th percentile", "power", "target", "trials")
    for name in (*headers, "Evidently: median", "power"):
        table.add_column(name, justify="right")
    for one in report.found:
        shown = "" if one.shown is None else f"; shown in the top 3: {one.shown:.0%}"
        theirs = one.shown is None
        table.add_row(
            one.name + shown,
            f"{one.a_day:,}",
            _days(one.median_days),
            _days(one.p90_days),
            f"{one.power:.0%}",
            _target(one),
            f"{one.trials:,}",
            _days(one.evidently_median_days) if theirs else "–",
            f"{one.evidently_power:.0%}" if theirs else "–",
        )
    console.print(table)
    console.print(f"seed {report.seed}, {report.seconds:.0f} s")


def _days(days: float | None) -> str:
    return "not found" if days is None else f"{days:.2f}"


def _target(one: Found) -> str:
    if one.target_days is None:
        return ""
    met = one.median_days is not None and one.median_days <= one.target_days
    return f"≤ {one.target_days:g} {'met' if met else 'MISSED'}"
