"""`banister migrate`: bring the database's schema to the newest version."""

from __future__ import annotations

import click

from guardrails.database import migrate as migrate_to_newest
from guardrails.database import open_database
from guardrails.settings import Settings


@click.command()
def migrate() -> None:
    """Bring the database up to date; safe to run from several places at once."""
    with open_database(Settings()) as url:
        migrate_to_newest(url)
    click.echo("The schema is up to date.")
