"""How does Alembic reach the database? By the URL that `migrate` hands over, or by the settings."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import create_engine, pool

from guardrails.database.url import sqlalchemy_url
from guardrails.exchange_log.all_tables import metadata
from guardrails.settings import Settings

PARTITIONS = ("exchanges_", "exchange_texts_")


def ours(_object: Any, name: str | None, kind: str, reflected: bool, _compared: Any) -> bool:
    """Whether autogenerate should look at it: not at partitions, which are made every day."""
    return not (kind == "table" and reflected and (name or "").startswith(PARTITIONS))


def run() -> None:
    """Run the steps asked for, all in one transaction."""
    url = context.config.attributes.get("url") or Settings().database_url
    if url is None:
        raise SystemExit("Set BANISTER_DATABASE_URL to the database that alembic should work on.")
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, include_object=ours)
        with context.begin_transaction():
            context.run_migrations()


run()
