"""`banister labels`: how do reviewers' labels become a file of examples?"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import click
import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine, migrate, open_database
from guardrails.exchange_log import acts
from guardrails.exchange_log.cipher import make_cipher
from guardrails.keys import key_secret
from guardrails.settings import Settings
from monitoring.connected import connected
from monitoring.labels.rows import reviewed
from monitoring.replay.command import Moment
from monitoring.reviews import labelled
from monitoring.types import Window


@click.group()
def labels() -> None:
    """What reviewers said of exchanges."""


@labels.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--since", type=Moment(), default="90d", show_default=True)
@click.option("--until", type=Moment(), default="0m", help="[default: now]")
@click.option(
    "--sampled", is_flag=True, help="Only what chance drew: what a guarantee may rest on."
)
def export(file: Path, since: datetime, until: datetime, sampled: bool) -> None:
    """Write labelled texts to FILE, as JSON lines for `banister calibrate` and `evaluate`.

    Where two reviewers disagree about a harm, the row does not say it. It stands in the audit log.
    """
    settings = Settings()
    with open_database(settings) as url:
        migrate(url)
        count = asyncio.run(_export(url, settings, file, Window(since, until), sampled))
    click.echo(f"{count} labelled texts written to {file}.")


async def _export(url: str, settings: Settings, file: Path, window: Window, sampled: bool) -> int:
    engine = make_engine(url)
    try:
        async with connected(engine) as log:
            to, asked = str(file), {**msgspec.to_builtins(window), "sampled": sampled}
            await acts.record(log, "labels.export", to, asked)
            count = await _written(engine, settings, file, window, sampled)
            await acts.record(log, "labels.exported", to, {**asked, "rows": count})
    finally:
        await engine.dispose()
    return count


async def _written(
    engine: AsyncEngine, settings: Settings, file: Path, window: Window, sampled: bool
) -> int:
    cipher = make_cipher(settings.log_keys, key_secret(settings))
    count = 0
    items = await labelled(engine, window, why="random" if sampled else None)
    async with engine.connect() as connection:
        with file.open("wb") as lines:
            async for row in reviewed(connection, items, cipher):
                lines.write(msgspec.json.encode(row) + b"\n")
                count += 1
    return count
