"""`banister replay`: what would another policy have decided, before anyone turns it on?"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from guardrails.database import make_engine, migrate, open_database
from guardrails.exchange_log.cipher import make_cipher
from guardrails.keys import key_secret
from guardrails.policy.model import Policy, read_policy
from guardrails.settings import Settings
from monitoring.intervals import wilson
from monitoring.replay.judged import judged
from monitoring.replay.records import Span, count
from monitoring.replay.redecide import Change
from monitoring.replay.run import Replayed, replay
from monitoring.replay.sweep import Curve
from monitoring.replay.tally import Replay, Reviewed
from monitoring.reviews import labelled
from monitoring.types import Window

STYLES = {
    Change.NEWLY_BLOCKED: "bold red",
    Change.NEWLY_PASSED: "bold green",
    Change.UNDECIDED: "yellow",
}
SHOWN = 10


_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_WRITTEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


class Moment(click.ParamType):
    """A moment: `7d`, `12h` or `30m` ago, or a date and time in UTC."""

    name = "7d|12h|DATE"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment, aware and in UTC."""
        if isinstance(value, datetime):
            return value
        if ago := re.fullmatch(r"(\d{1,5})([dhm])", value):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment: datetime = _WRITTEN.convert(value, param, ctx)
        return moment.replace(tzinfo=UTC)


@click.command("replay")
@click.option(
    "--policy",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The policy to try.",
)
@click.option("--since", type=Moment(), default="7d", show_default=True)
@click.option("--until", type=Moment(), default="0m", help="[default: now]")
@click.option("--route")
@click.option("--tenant")
@click.option("--most", default=1_000_000, show_default=True, help="The newest of so many.")
@click.option("--sweep", metavar="RULE", help="Show how often one rule fires at every threshold.")
@click.option(
    "--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write all of it here."
)
def command(
    path: Path,
    since: datetime,
    until: datetime,
    route: str | None,
    tenant: str | None,
    most: int,
    sweep: str | None,
    out: Path | None,
) -> None:
    """Decide logged exchanges anew under another policy: newly blocked, newly passed, unchanged.

    Nothing is measured again and nothing is changed: each label's score was recorded.
    """
    settings = Settings()
    policy = read_policy(path, None)
    span = Span(since, until, route, tenant, most)
    with open_database(settings) as url:
        migrate(url)
        found = asyncio.run(_replay(url, settings, policy, span, sweep))
    console = Console()
    show(console, found, span)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(as_json(found, span))))
        console.print(f"Written to {out}.")


async def _replay(
    url: str, settings: Settings, policy: Policy, span: Span, sweep: str | None
) -> Replayed:
    engine = make_engine(url)
    cipher = make_cipher(settings.log_keys, key_secret(settings))
    try:
        harmful = judged(await labelled(engine, Window(span.since, span.until)))
        async with engine.connect() as connection:
            with Progress(console=Console(stderr=True), transient=True) as progress:
                whole = await count(connection, span)
                task = progress.add_task("Deciding anew", total=whole)
                return await replay(
                    connection,
                    policy,
                    span,
                    harmful,
                    sweep=sweep,
                    cipher=cipher,
                    told=lambda done: progress.update(task, completed=done),
                )
    finally:
        await engine.dispose()


def as_json(found: Replayed, span: Span) -> dict[str, object]:
    """The whole result with plain keys."""
    plain: dict[str, object] = msgspec.structs.asdict(found.replay)
    plain["moves"] = [
        {"before": before, "after": after, "n": n}
        for (before, after), n in sorted(found.replay.moves.items())
    ]
    return {"span": span, **plain, "curve": found.curve}


def show(console: Console, found: Replayed, span: Span) -> None:
    """Print what would change, for whom, and why."""
    result = found.replay
    console.print(
        f"[bold]{result.policy}[/bold] over {result.n:,} exchanges, "
        f"{span.since:%Y-%m-%d %H:%M} to {span.until:%Y-%m-%d %H:%M} UTC, "
        f"decided then by {', '.join(result.versions) or 'nothing'}"
    )
    if not result.n:
        console.print("[yellow]No data[/yellow]: nothing was logged there. Try a longer --since.")
        return
    console.print(_changes(result))
    if result.unanswered:
        console.print(
            f"{result.unanswered:,} of the newly passed were never answered: what the rules on "
            "answers would say is not known."
        )
    for name, n in result.unmeasured.items():
        console.print(f"[yellow]Not measured then[/yellow]: {name}, {n:,} exchanges undecided.")
    console.print(_rules(result))
    console.print(_reviews(result))
    for change in (Change.NEWLY_BLOCKED, Change.NEWLY_PASSED):
        for example in result.examples.get(change, ())[:SHOWN]:
            console.print(
                f"[{STYLES[change]}]{change.value}[/] {example.id} "
                f"{example.before.value} → {example.after.value} {', '.join(example.rules)}"
            )
    if found.curve is not None:
        console.print(_curve(found.curve))


def _changes(result: Replay) -> Table:
    table = Table("what would change", box=None, header_style="dim")
    for name in ("exchanges", "share", "95 % interval"):
        table.add_column(name, justify="right")
    for change, n in result.changes.items():
        style = STYLES.get(change, "")
        table.add_row(change.value, f"{n:,}", *_share(n, result.n), style=style)
    decided = result.n - result.changes[Change.UNDECIDED]
    for name, n in (("blocked then", result.blocked_before), ("blocked now", result.blocked_after)):
        table.add_row(f"{name}, of {decided:,} decided", f"{n:,}", *_share(n, decided), style="dim")
    return table


def _rules(result: Replay) -> Table:
    table = Table("rule", box=None, header_style="dim")
    for name in ("fires in", "share"):
        table.add_column(name, justify="right")
    for rule, n in sorted(result.rules.items(), key=lambda row: -row[1]):
        table.add_row(rule, f"{n:,}", _share(n, result.n)[0])
    return table


def _reviews(result: Replay) -> Table | str:
    if not result.harmful.n and not result.harmless.n:
        return "[dim]No reviewer has judged any of these exchanges yet.[/dim]"
    table = Table("judged by reviewers", box=None, header_style="dim")
    for name in ("n", "blocked then", "blocked now", "95 % interval", "undecided"):
        table.add_column(name, justify="right")
    for name, seen in (("harmful", result.harmful), ("harmless", result.harmless)):
        table.add_row(name, *_judged(seen))
    return table


def _judged(seen: Reviewed) -> tuple[str, ...]:
    decided = seen.n - seen.undecided
    after, interval = _share(seen.after, decided)
    return f"{seen.n:,}", _share(seen.before, seen.n)[0], after, interval, f"{seen.undecided:,}"


def _curve(curve: Curve) -> Table:
    title = f"{curve.rule}: n = {curve.n:,} measured, {curve.unmeasured:,} not"
    table = Table(title=title, title_justify="left", box=None, header_style="dim")
    for name in ("threshold", "fires in", "share", "of the harmful", "of the harmless"):
        table.add_column(name, justify="right")
    for point in curve.points:
        own = point.threshold == curve.threshold
        table.add_row(
            f"{point.threshold:g}" + (" ◀" if own else ""),
            f"{point.fires:,}",
            _share(point.fires, curve.n)[0],
            f"{point.harmful:,} of {curve.harmful:,}",
            f"{point.harmless:,} of {curve.harmless:,}",
            style="bold" if own else "",
        )
    return table


def _share(hits: int, n: int) -> tuple[str, str]:
    interval = wilson(hits, n)
    if interval is None:
        return "no data", ""
    low, high = interval
    return f"{hits / n:.2%}", f"{low:.2%} – {high:.2%}"
