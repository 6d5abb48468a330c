"""How does an operator make, list and revoke API keys? `banister keys create|list|revoke`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.table import Table

from guardrails.database import migrate, open_database
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.keys import SCOPES, Key, create_key, key_secret, list_keys, revoke_key
from guardrails.settings import Settings


@click.group()
def keys() -> None:
    """Make, list and revoke the API keys that callers show."""


@keys.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=("infer",))
@click.option("--route", "routes", multiple=True, help="Only this route; may be repeated.")
@click.option("--tenant", default="default", show_default=True, help="* for dashboards: all.")
@click.option("--days", type=click.IntRange(min=1), help="It expires after so many days.")
def create(
    name: str, scopes: tuple[str, ...], routes: tuple[str, ...], tenant: str, days: int | None
) -> None:
    """Make a key called NAME and show it; it cannot be shown again."""
    if tenant == OWN_TENANT:
        raise click.BadParameter(f"{OWN_TENANT} is kept for audits: its traffic is not counted.")
    settings = Settings()
    now = datetime.now(UTC)
    with open_database(settings) as url:
        migrate(url)
        key, token = asyncio.run(
            create_key(
                url,
                key_secret(settings),
                name=name,
                scopes=scopes,
                routes=routes or None,
                tenant=tenant,
                expires_at=None if days is None else now + timedelta(days=days),
                now=now,
            )
        )
    click.echo(f"Key {key.id} is made. Keep it safe; it is not shown again:", err=True)
    click.echo(token)


@keys.command("list")
def list_() -> None:
    """Show all keys, without their secrets."""
    with open_database(Settings()) as url:
        migrate(url)
        found = asyncio.run(list_keys(url))
    if not found:
        click.echo("There are no keys; make one with `banister keys create NAME`.")
        return
    table = Table("id", "name", "tenant", "scopes", "routes", "made", "state", box=None)
    for key in found:
        table.add_row(
            key.id,
            key.name,
            key.tenant,
            ", ".join(sorted(key.scopes)),
            "all" if key.routes is None else ", ".join(sorted(key.routes)),
            f"{key.created_at:%Y-%m-%d}",
            _state(key, datetime.now(UTC)),
        )
    Console().print(table)


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Stop the key KEY_ID for good; running proxies refuse it within a second."""
    with open_database(Settings()) as url:
        migrate(url)
        done = asyncio.run(revoke_key(url, key_id, now=datetime.now(UTC)))
    if not done:
        raise click.ClickException(f"There is no working key {key_id!r}; see `banister keys list`.")
    click.echo(f"Key {key_id} is revoked.")


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "works"
    return f"{'works until' if key.valid(now) else 'expired'} {key.expires_at:%Y-%m-%d}"
