"""How does an operator make, list and change the people who may log in? `banister users …`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from dashboards import audit, users
from dashboards.passwords import hash_password
from dashboards.visitors import ROLES, Role
from guardrails.database import make_engine, migrate, open_database
from guardrails.errors import ConfigError
from guardrails.settings import Settings

WHO = "command line"
Answer = TypeVar("Answer")
Change = Callable[[AsyncConnection], Awaitable[bool]]

_role = click.option(
    "--role",
    type=click.Choice(ROLES),
    default="viewer",
    show_default=True,
    help="What they may do.",
)
_tenants = click.option(
    "--tenant", "tenants", multiple=True, help="Only this tenant's exchanges; may be repeated."
)
_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.group("users")
def command() -> None:
    """Make, list and change the people who may log in to the dashboards."""


@command.command()
@click.argument("name")
@_role
@_tenants
@click.option("--email")
@_stdin
def create(
    name: str, role: Role, tenants: tuple[str, ...], email: str | None, password_stdin: bool
) -> None:
    """Let NAME log in; from the first user on, this machine needs a login too."""
    hashed = _hash(password_stdin)

    async def made(connection: AsyncConnection) -> None:
        await audit.record(connection, WHO, "user.create", name, {"role": role})
        await users.create(
            connection,
            name=name,
            role=role,
            password_hash=hashed,
            email=email,
            tenants=tenants or None,
            now=datetime.now(UTC),
        )

    _run(made)
    click.echo(f"{name} may log in as {role}.")


@command.command("list")
def list_() -> None:
    """Show all users."""
    found = _run(users.every_user)
    if not found:
        click.echo("There are no users; make one with `banister users create NAME --role admin`.")
        return
    table = Table("name", "role", "tenants", "login", "made", "state", box=None)
    for user in found:
        table.add_row(
            user.name,
            user.role,
            "all" if user.tenants is None else ", ".join(user.tenants),
            "provider" if user.has_subject else "password" if user.has_password else "none",
            f"{user.created_at:%Y-%m-%d}",
            f"disabled {user.disabled_at:%Y-%m-%d}" if user.disabled_at else "works",
        )
    Console().print(table)


@command.command()
@click.argument("name")
def disable(name: str) -> None:
    """Let NAME in no more; every session ends at once."""
    _change("user.disable", name, lambda c: users.disable(c, name, datetime.now(UTC)))


@command.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled NAME in again."""
    _change("user.enable", name, lambda c: users.enable(c, name))


@command.command()
@click.argument("name")
@_stdin
def password(name: str, password_stdin: bool) -> None:
    """Give NAME another password; every session ends at once."""
    hashed = _hash(password_stdin)
    _change("user.password", name, lambda c: users.set_password(c, name, hashed))


@command.command()
@click.argument("name")
@_role
@_tenants
def rights(name: str, role: Role, tenants: tuple[str, ...]) -> None:
    """Give NAME another role and other tenants; all of them where none is named."""
    _change("user.rights", name, lambda c: users.set_rights(c, name, role, tenants or None))


def _change(action: str, name: str, change: Change) -> None:
    async def changed(connection: AsyncConnection) -> None:
        await audit.record(connection, WHO, action, name)
        if not await change(connection):
            raise ConfigError(f"There is no such user {name!r}; see `banister users list`.")

    _run(changed)
    click.echo(f"Done: {action} {name}.")


def _hash(from_stdin: bool) -> str:
    if from_stdin:
        return hash_password(sys.stdin.readline().rstrip("\n"))
    return hash_password(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _run(act: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
    """In one transaction on the configured database."""

    async def acted(url: str) -> Answer:
        engine = make_engine(url)
        try:
            async with engine.begin() as connection:
                return await act(connection)
        finally:
            await engine.dispose()

    with open_database(Settings()) as url:
        migrate(url)
        return asyncio.run(acted(url))
