"""How does an operator prove, keep, erase and take out what was recorded?

`banister verify`, `banister retention`, `banister erase`, `banister export`. What keeps, forgets or
takes out stands in the audit log.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import click
import msgspec
import psycopg
from rich.console import Console
from rich.table import Table

from guardrails.database import migrate, open_database
from guardrails.database.url import libpq_url
from guardrails.exchange_log import acts, erasure, holds
from guardrails.exchange_log.chain import seal_secret, sealer_of
from guardrails.exchange_log.cipher import make_cipher
from guardrails.exchange_log.export import Selection, batches, write_jsonl, write_parquet
from guardrails.exchange_log.privacy import pseudonym
from guardrails.exchange_log.retention import retain
from guardrails.exchange_log.verify import Head, pending
from guardrails.exchange_log.verify import verify as verify_log
from guardrails.keys import key_secret
from guardrails.settings import Settings

T = TypeVar("T")
MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])


@click.command()
@click.option(
    "--heads",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file outside of the database that remembers where each chain ended.",
)
def verify(heads: Path | None) -> None:
    """Prove that no sealed exchange was changed, removed or slipped in; status 1 where one was."""
    settings = Settings()
    known = _read_heads(heads)

    async def run(connection: psycopg.AsyncConnection) -> dict[date, Head] | None:
        console = Console()
        good, rows, found = True, 0, dict(known)
        with console.status("Reading every sealed row"):
            async for day in verify_log(connection, seal_secret(settings), heads=known):
                rows += day.rows
                if day.head is not None and not day.faults:
                    found[day.day] = day.head
                state = "[green]OK[/green]" if not day.faults else "[bold red]CHANGED[/bold red]"
                more = f", {day.erased:,} erased" if day.erased else ""
                more += ", dropped by retention" if day.dropped else ""
                console.print(f"{state} {day.day} {day.rows:,} rows{more}")
                for fault in day.faults:
                    console.print(f"  {fault}", markup=False, highlight=False)
                good = good and not day.faults
            unsealed = await pending(connection)
        console.print(f"{rows:,} rows held to their seals; {unsealed:,} not sealed yet.")
        return found if good else None

    found = _with_log(settings, run)
    if found is None:
        raise SystemExit(1)
    if heads is not None:
        heads.write_bytes(msgspec.json.encode(found))


@click.group()
def retention() -> None:
    """Let go of what is kept no longer, and hold what must stay."""


@retention.command("run")
def run_retention() -> None:
    """Do now what the monitor does each day."""
    settings = Settings()

    async def run(connection: psycopg.AsyncConnection) -> None:
        done = await retain(
            connection,
            sealer_of(settings),
            settings.retention,
            settings.retention_days,
            evidence_days=settings.evidence_days,
            now=datetime.now(UTC),
        )
        click.echo(
            f"{len(done.dropped)} days dropped, {len(done.held)} held, {len(done.busy)} in use; "
            f"the texts of {done.erased:,} exchanges erased, {done.words:,} reasons and notes "
            f"about them blanked; {done.released:,} holds on alerts' evidence ended."
        )

    _with_log(settings, run)


@retention.command("hold")
@click.option("--tenant")
@click.option("--user", help="An end user of the tenant, as its application names it.")
@click.option("--exchange", "exchange_id", type=click.UUID)
@click.option("--since", type=MOMENT)
@click.option("--until", type=MOMENT)
@click.option("--reason", required=True)
def make_hold(
    tenant: str | None,
    user: str | None,
    exchange_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    reason: str,
) -> None:
    """Keep what is named from retention and erasure until it is released."""
    settings = Settings()
    if user is not None and tenant is None:
        raise click.UsageError("--user needs --tenant: tenants may share a name.")

    async def run(connection: psycopg.AsyncConnection) -> None:
        names = None
        if user is not None and tenant is not None:
            names = (user, pseudonym(key_secret(settings), tenant, user))
        what = {
            "tenant": tenant,
            "exchange": exchange_id and str(exchange_id),
            "one user": user is not None,
        }
        await acts.record(connection, "exchanges.hold", detail=what)
        made = await holds.hold(
            connection,
            reason=reason,
            by=getpass.getuser(),
            tenant=tenant,
            end_user_names=names,
            exchange_id=exchange_id,
            since=_aware(since),
            until=_aware(until),
        )
        for hold_id in made:
            click.echo(str(hold_id))

    _with_log(settings, run)


@retention.command("release")
@click.argument("hold_id", type=click.UUID)
def end_hold(hold_id: UUID) -> None:
    """End the hold HOLD_ID; what is due goes with the next run."""

    async def run(connection: psycopg.AsyncConnection) -> bool:
        await acts.record(connection, "exchanges.release", str(hold_id))
        return await holds.release(connection, hold_id, datetime.now(UTC))

    if not _with_log(Settings(), run):
        raise click.ClickException("There is no such hold; see `banister retention holds`.")
    click.echo("Released.")


@retention.command("holds")
def list_holds() -> None:
    """Show every hold that still holds."""
    found = _with_log(Settings(), holds.holding)
    if not found:
        click.echo("Nothing is held.")
        return
    table = Table("id", "kind", "tenant", "exchange", "since", "until", "reason", box=None)
    for one in found:
        spans = [f"{at:%Y-%m-%d}" if at else "" for at in (one.since, one.until)]
        table.add_row(
            str(one.id), one.kind, one.tenant, str(one.exchange_id or ""), *spans, one.reason
        )
    Console().print(table)


@click.command()
@click.option("--tenant", required=True)
@click.option("--user", help="Only this end user, as the application names it.")
@click.option("--reason", required=True, help="Goes on record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(tenant: str, user: str | None, reason: str, yes: bool) -> None:
    """Forget the texts of a tenant, or of one end user; the proof of the rest still holds."""
    settings = Settings()
    whose = f"tenant {tenant}" if user is None else f"user {user} of tenant {tenant}"
    if not yes:
        click.confirm(f"Erase for good every text of {whose}?", abort=True)
    keys = None
    if user is not None:
        keys = erasure.names_of(user, pseudonym(key_secret(settings), tenant, user))

    async def run(connection: psycopg.AsyncConnection) -> None:
        await acts.record(connection, "exchanges.erase", tenant, {"one user": user is not None})
        done = await erasure.erase(
            connection,
            sealer_of(settings),
            erasure.Target(tenant, keys),
            now=datetime.now(UTC),
            by=getpass.getuser(),
            reason=reason,
        )
        click.echo(
            f"Erased {done.erased:,} exchanges, {done.copies:,} copies of audits, {done.words:,} "
            f"reasons and notes about them, and {done.rejected:,} refused records; "
            f"{done.held:,} are held. Backups and exports are yours to see to."
        )

    _with_log(settings, run)


@click.command()
@click.option("--tenant")
@click.option("--since", type=MOMENT, help="UTC where it names no zone.")
@click.option("--until", type=MOMENT)
@click.option("--parquet", type=click.Path(dir_okay=False, path_type=Path), help="Write this file.")
@click.option("--jsonl", type=click.Path(dir_okay=False, path_type=Path), help="Write this file.")
def export(
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
    parquet: Path | None,
    jsonl: Path | None,
) -> None:
    """Write exchanges to a file: --parquet FILE or --jsonl FILE; else JSON lines to the output.

    It stands in the audit log before it begins, and with how many it was when it ends.
    """
    if parquet is not None and jsonl is not None:
        raise click.UsageError("Give --parquet or --jsonl, not both.")
    settings = Settings()
    selection = Selection(tenant, _aware(since), _aware(until))
    console = Console(stderr=True)

    asked = {
        "tenant": tenant,
        "since": selection.since and selection.since.isoformat(),
        "until": selection.until and selection.until.isoformat(),
    }
    file = parquet or jsonl
    to = "standard output" if file is None else str(file.absolute())
    written = 0

    async def run(connection: psycopg.AsyncConnection) -> None:
        await acts.record(connection, "exchanges.export", to, asked)
        cipher = make_cipher(settings.log_keys, key_secret(settings))
        try:
            with console.status("Exporting") as status:

                def told(so_far: int) -> None:
                    nonlocal written
                    written = so_far
                    status.update(f"{written:,} exchanges")

                async with aclosing(batches(connection, selection, cipher)) as rows:
                    if parquet is not None:
                        await write_parquet(rows, parquet, told)
                    elif jsonl is not None:
                        with jsonl.open("wb") as out:
                            await write_jsonl(rows, out, told)
                    else:
                        await write_jsonl(rows, sys.stdout.buffer, told)
        finally:
            # Also of one that was broken off: so many were seen.
            await acts.record(connection, "exchanges.exported", to, {**asked, "rows": written})

    _with_log(settings, run)
    console.print(f"{written:,} exchanges.")


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        libpq_url(url), autocommit=True, application_name="banister upkeep"
    ) as connection:
        yield connection


def _with_log(settings: Settings, run: Callable[[psycopg.AsyncConnection], Awaitable[T]]) -> T:
    async def connected(url: str) -> T:
        async with _connected(url) as connection:
            return await run(connection)

    with open_database(settings) as url:
        migrate(url)
        return asyncio.run(connected(url))


def _read_heads(path: Path | None) -> dict[date, Head]:
    if path is None or not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[date, Head])


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
