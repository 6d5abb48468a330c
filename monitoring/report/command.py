"""`banister report`: a week's safety report, made where there is none, as HTML, PDF or mail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from guardrails.database import make_engine, migrate, open_database
from guardrails.settings import Settings
from monitoring.report import words
from monitoring.report.document import opened
from monitoring.report.make import make, tell
from monitoring.report.records import Report
from monitoring.report.render import pages
from monitoring.report.week import WEEK, window_of
from monitoring.types import Window
from monitoring.windows import last_full


@click.command()
@click.option("--week", help="As 2026-W47; without it the last week that has ended.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write it here.")
@click.option("--pdf", type=click.Path(dir_okay=False, path_type=Path), help="Write it here.")
@click.option(
    "--mail", "mailed", is_flag=True, help="Send it to BANISTER_REPORT_CHANNELS, again too."
)
@click.option("--check", is_flag=True, help="Render the kept data anew and compare the bytes.")
def report(
    week: str | None, html: Path | None, pdf: Path | None, mailed: bool, check: bool
) -> None:
    """Make a week's safety report, or show the one that was made."""
    settings = Settings()
    now = datetime.now(UTC)
    try:
        window = window_of(week) if week else last_full(WEEK, now - timedelta(minutes=2))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--week") from error
    channels = [one.get_secret_value() for one in settings.report_channels]
    if mailed and not channels:
        raise click.UsageError("--mail needs BANISTER_REPORT_CHANNELS: nobody is named there.")
    console = Console()
    with open_database(settings) as url:
        migrate(url)
        with console.status("Collecting five weeks"):
            try:
                kept = asyncio.run(
                    _made(url, window, settings, channels if mailed else [], now, console)
                )
            except ValueError as error:
                raise click.ClickException(f"{error}.") from error
    for path, body in ((html, kept.html), (pdf, kept.pdf)):
        if path is not None:
            path.write_bytes(body)
            console.print(f"{path}: {len(body):,} bytes")
    _show(console, kept)
    if check:
        same = pages(opened(kept.frozen)) == (kept.html, kept.pdf)
        console.print("Rendered anew: the same bytes." if same else "Rendered anew: OTHER bytes.")
        if not same:
            raise SystemExit(1)


async def _made(
    url: str,
    window: Window,
    settings: Settings,
    channels: list[str],
    now: datetime,
    console: Console,
) -> Report:
    engine = make_engine(url)
    try:
        kept, _ = await make(engine, window, links=settings.dashboard_url, now=now)
        for one in await tell(engine, kept, channels, now=now, again=True):
            console.print(f"{one.channel}: {'sent' if one.ok else one.error}")
    finally:
        await engine.dispose()
    return kept


def _show(console: Console, kept: Report) -> None:
    document = opened(kept.frozen)
    console.print(f"[bold]{document.week}[/bold], made {kept.made_at:%Y-%m-%d %H:%M} UTC")
    console.print(words.verdict(document))
    table = Table("number", box=None, header_style="dim")
    for name in ("this week", "95 % interval", "n", "before"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in document.headlines:
        table.add_row(
            one.name,
            words.value_of(one),
            words.interval_of(one),
            f"{one.n:,}",
            words.before_of(one),
            words.direction(one),
        )
    console.print(table)
    for action in document.actions:
        console.print(f"• {action}")
