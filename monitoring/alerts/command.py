"""`banister alerts`: what is wrong now, who has it in hand, and whether a channel works."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine, open_database
from guardrails.settings import Settings
from monitoring.alerts import records
from monitoring.alerts.matching import parse_matcher
from monitoring.alerts.notify import send
from monitoring.alerts.types import Alert, Matcher, State
from monitoring.alerts.wording import figure_line

T = TypeVar("T")

_STYLES = {
    State.FIRING: "bold red",
    State.ACKNOWLEDGED: "yellow",
    State.RESOLVED: "green",
}
_by = click.option("--by", default=getpass.getuser, show_default="you", help="Who does it.")


@click.group()
def alerts() -> None:
    """See, acknowledge, silence and resolve alerts; test the channels."""


@alerts.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Also what is resolved.")
@click.option("--limit", default=50, show_default=True)
def list_(everything: bool, limit: int) -> None:
    """What is firing or acknowledged, the critical first."""

    async def read(engine: AsyncEngine) -> list[Alert]:
        if everything:
            return await records.list_alerts(engine, limit=limit)
        return (await records.open_alerts(engine))[:limit]

    found = _with_engine(read)
    if not found:
        click.echo("No alert." if everything else "Nothing is firing.")
        return
    table = Table("id", "severity", "state", "since (UTC)", "what", box=None, header_style="dim")
    for one in found:
        style = _STYLES[one.state]
        what = escape(one.summary) + (" [dim](explained by another)[/dim]" * bool(one.inhibited_by))
        table.add_row(
            str(one.id)[:8],
            one.severity.value,
            f"[{style}]{one.state.value}[/{style}]",
            f"{one.started_at.astimezone(UTC):%Y-%m-%d %H:%M}",
            what,
        )
    _console().print(table)


@alerts.command()
@click.argument("alert")
def show(alert: str) -> None:
    """One alert with its evidence, its history and the messages about it."""

    async def read(engine: AsyncEngine) -> list[str]:
        one = await _found(engine, alert)
        lines = [
            f"{one.severity.value}, {one.state.value}: {one.summary}",
            f"id {one.id}, job {one.job}, since {one.started_at:%Y-%m-%d %H:%M} UTC",
            "labels: " + ", ".join(f"{name}={value}" for name, value in one.labels.items()),
        ]
        if one.inhibited_by is not None:
            lines.append(f"explained by {one.inhibited_by}")
        lines += ["", "figures:"] + [f"  {figure_line(f)}" for f in one.evidence.figures]
        if one.evidence.exchange_ids:
            lines += ["", "exchanges, held from erasure:"]
            lines += [f"  {exchange_id}" for exchange_id in one.evidence.exchange_ids]
        lines += ["", "measure it again:"] + [f"  {line}" for line in one.evidence.reproduce]
        lines += ["", "history:"]
        for event in await records.history(engine, one.id):
            detail = ", ".join(f"{name}: {value}" for name, value in event.detail.items())
            lines.append(f"  {event.at:%Y-%m-%d %H:%M:%S} {event.kind} by {event.who} {detail}")
        for told in await records.notifications(engine, one.id):
            state = "sent" if told.sent_at else "given up" if told.given_up_at else "waiting"
            lines.append(
                f"  {told.made_at:%Y-%m-%d %H:%M:%S} {told.kind} to {told.channel}: {state} after "
                f"{told.attempts} attempts" + (f" ({told.error})" if told.error else "")
            )
        return lines

    for line in _with_engine(read):
        click.echo(line)


@alerts.command()
@click.argument("alert")
@_by
def ack(alert: str, by: str) -> None:
    """Say that you have an alert in hand: no repeats, no escalation."""

    async def do(engine: AsyncEngine) -> bool:
        one = await _found(engine, alert)
        return await records.acknowledge(engine, one.id, by, _now())

    _told(_with_engine(do), "acknowledged", "It is not firing.")


@alerts.command()
@click.argument("alert")
@click.option("--reason", default="", help="Kept in its history.")
@_by
def resolve(alert: str, reason: str, by: str) -> None:
    """Close an alert; a later run that still finds it raises a new one."""

    async def do(engine: AsyncEngine) -> bool:
        one = await _found(engine, alert)
        return await records.resolve(engine, one.id, by, _now(), reason)

    _told(_with_engine(do), "resolved", "It is not open.")


@alerts.command()
@click.argument("matchers", nargs=-1, required=True)
@click.option("--hours", default=2.0, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--reason", required=True)
@_by
def silence(matchers: tuple[str, ...], hours: float, reason: str, by: str) -> None:
    """Tell nothing of alerts that all MATCHERS fit, as tenant=acme or metric=~block.*"""
    parsed = _parsed(matchers)

    async def do(engine: AsyncEngine) -> UUID:
        now = _now()
        ends = now + timedelta(hours=hours)
        return await records.silence(engine, parsed, now, ends, by, reason)

    click.echo(f"silenced for {hours:g} h: {_with_engine(do)}")


@alerts.command()
def silences() -> None:
    """The silences that hold now or later."""
    for one in _with_engine(lambda engine: records.silences(engine, _now())):
        told = " ".join(f"{m.name}{m.op}{m.value}" for m in one.matchers)
        click.echo(f"{one.id}  until {one.ends_at:%Y-%m-%d %H:%M} UTC  {told}  {one.reason}")


@alerts.command()
@click.argument("silence_id", type=click.UUID)
def unsilence(silence_id: UUID) -> None:
    """End a silence at once."""
    done = _with_engine(lambda engine: records.end_silence(engine, silence_id, _now()))
    _told(done, "ended", "No such silence holds.")


@alerts.command()
def test() -> None:
    """Send a message to every channel, and say which took it."""
    settings = Settings()
    channels = [
        one.get_secret_value()
        for one in (*settings.alert_channels, *settings.alert_escalation_channels)
    ]
    if not channels:
        raise click.ClickException("No channel is configured: set BANISTER_ALERT_CHANNELS.")
    words = "A test by `banister alerts test`: this channel will get Banister's alerts."
    sent = asyncio.run(send(channels, "[banister] test", words, f"<p>{words}</p>"))
    for one in sent:
        click.echo(f"{'ok    ' if one.ok else 'FAILED'} {one.channel} {one.error or ''}".rstrip())
    if not all(one.ok for one in sent):
        raise SystemExit(1)


def _parsed(matchers: Sequence[str]) -> list[Matcher]:
    try:
        return [parse_matcher(one) for one in matchers]
    except ValueError as error:
        raise click.UsageError(str(error)) from error


async def _found(engine: AsyncEngine, wanted: str) -> Alert:
    """The alert whose id begins so."""
    found = await records.beginning(engine, wanted)
    if len(found) != 1:
        raise click.ClickException(
            f"{len(found) or 'No'} alerts have an id that begins with {wanted!r}."
        )
    return found[0]


def _with_engine(do: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def run(url: str) -> T:
        engine = make_engine(url)
        try:
            return await do(engine)
        finally:
            await engine.dispose()

    with open_database(Settings()) as url:
        return asyncio.run(run(url))


def _told(done: bool, words: str, otherwise: str) -> None:
    if not done:
        raise click.ClickException(otherwise)
    click.echo(words)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _now() -> datetime:
    return datetime.now(UTC)
