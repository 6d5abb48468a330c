"""`banister migrate`: bring the database's schema to the newest version."""

from __future__ import annotations

from contextlib import ExitStack

import click
from rich.console import Console

from guardrails.database import migrate as migrate_to_head
from guardrails.embedded_postgres import start_embedded
from guardrails.settings import Settings


@click.command()
def migrate() -> None:
    """Bring the database up to date; safe to run from several places at once."""
    settings = Settings()
    console = Console()
    with ExitStack() as stack:
        url = settings.database_url
        if url is None:
            with console.status("starting the embedded Postgres"):
                server = start_embedded(settings.data_dir)
            stack.callback(server.stop)
            url = server.url
        with console.status("migrating"):
            migrate_to_head(url)
    console.print("The schema is up to date.")
