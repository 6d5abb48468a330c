"""`banister monitor`: the schedule, or one job once."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine, migrate
from guardrails.database.embedded import start_embedded
from guardrails.settings import Settings
from monitoring import drift_reports
from monitoring.jobs import Job, load, load_all
from monitoring.metrics import served
from monitoring.rollout import watch
from monitoring.run import measured, run
from monitoring.runs import SHORTEST_SHOWN
from monitoring.scheduler import CONNECTIONS, serve
from monitoring.types import Figure, Run, Status
from monitoring.windows import last_full

_STYLES = {
    Status.OK: "green",
    Status.DRIFT: "bold red",
    Status.NO_DATA: "yellow",
    Status.FAILED: "bold red",
}


@click.command()
@click.argument("job", required=False)
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]),
    help="Run JOB over the last window that had ended at this time (UTC where it names no zone).",
)
@click.option(
    "--again",
    is_flag=True,
    help="Measure the window anew and only show it; the record of the first run stands.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write Evidently's whole report of the window there, as HTML (score_drift).",
)
def monitor(job: str | None, at: datetime | None, again: bool, report: Path | None) -> None:
    """Watch the exchange log on a schedule, or run JOB once."""
    if job is None and (at is not None or again or report is not None):
        raise click.UsageError("--at, --again and --report need a JOB.")
    settings = Settings()
    url, embedded = settings.database_url, None
    if url is None:
        embedded = start_embedded(settings.data_dir)
        url = embedded.url
    try:
        migrate(url)
        asyncio.run(
            _once(url, load(job), _aware(at), again, report) if job else _serve(url, settings)
        )
    finally:
        if embedded is not None:
            embedded.stop()


def _now() -> datetime:
    return datetime.now(UTC)


def _aware(at: datetime | None) -> datetime:
    if at is None:
        return _now()
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


async def _once(url: str, job: Job, at: datetime, again: bool, report: Path | None) -> None:
    console = Console()
    engine = make_engine(url)
    window = last_full(job.every, at)
    try:
        with console.status(f"{job.name} over {_span(window.start, window.end)}"):
            done = await (measured if again else run)(job, window, engine, now=_now)
        if report is not None:
            whole = await drift_reports.find(engine, job.name, window)
            if whole is None:
                console.print("There is no whole report of this window.")
            else:
                await asyncio.to_thread(report.write_bytes, whole)
                console.print(f"{report}: {len(whole):,} bytes")
    finally:
        await engine.dispose()
    if done is None:
        console.print("Another process runs this job over this window now; see the dashboard.")
        return
    console.print(_line(done))
    if done.outcome.figures:
        console.print(_table(done.outcome.figures))
    if done.status is Status.FAILED:
        raise SystemExit(1)


async def _serve(url: str, settings: Settings) -> None:
    console = Console(stderr=True)
    if not console.is_terminal:
        # A line of a log file is not to be broken where a window would end.
        console = Console(stderr=True, width=300)
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=console, show_path=False)],
    )
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    engine: AsyncEngine = make_engine(url, max_overflow=CONNECTIONS - 5)
    try:
        jobs = load_all()
        console.print(
            "Watching: " + ", ".join(f"{job.name} every {_length(job.every)}" for job in jobs)
        )

        def told(done: Run) -> None:
            # What goes well each minute hides what does not.
            short = done.window.end - done.window.start < SHORTEST_SHOWN
            if not short or done.status is not Status.OK:
                console.print(_line(done))

        with served(url, settings.host, settings.monitor_metrics_port):
            await asyncio.gather(
                serve(jobs, engine, stop, now=_now, told=told),
                watch.serve(engine, stop, now=_now, versions_dir=settings.versions_dir),
            )
    finally:
        await engine.dispose()


def _line(done: Run) -> str:
    style = _STYLES[done.status]
    seconds = (done.finished_at - done.started_at).total_seconds()
    return (
        f"[{style}]{done.status.value}[/{style}] {done.job}, {_span(*_ends(done))}, "
        f"n = {done.outcome.n:,}, {seconds:.1f} s: {escape(done.outcome.message)}"
    )


def _ends(done: Run) -> tuple[datetime, datetime]:
    return done.window.start, done.window.end


def _span(start: datetime, end: datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _length(every: timedelta) -> str:
    minutes = every.total_seconds() / 60
    if minutes < 60:
        return "minute" if minutes == 1 else f"{minutes:g} minutes"
    hours = minutes / 60
    return {1: "hour", 24: "day"}.get(int(hours), f"{hours:g} hours")


def _table(figures: tuple[Figure, ...]) -> Table:
    table = Table("figure", "unit", box=None, header_style="dim")
    for name in ("value", "95 % interval", "threshold", "n"):
        table.add_column(name, justify="right")
    table.add_column("status")
    for figure in figures:
        interval = "" if figure.low is None else f"{figure.low:.4f} – {figure.high:.4f}"
        table.add_row(
            figure.name,
            figure.unit,
            "no data" if figure.value is None else f"{figure.value:.4f}",
            interval,
            "" if figure.threshold is None else f"{figure.threshold:g}",
            f"{figure.n:,}",
            figure.status.value,
        )
    return table
