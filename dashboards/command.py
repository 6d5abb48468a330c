"""`banister dashboard`: the dashboards in a browser."""

from __future__ import annotations

import click

from dashboards.serve import serve
from guardrails.settings import Settings


@click.command()
def dashboard() -> None:
    """Show the exchanges and what monitoring found, in a browser."""
    settings = Settings()
    click.echo(f"Dashboards: http://{settings.host}:{settings.dashboard_port}")
    serve(settings)
