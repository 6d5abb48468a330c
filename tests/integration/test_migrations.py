from __future__ import annotations

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from guardrails.database import alembic_config, migrate
from guardrails.database_url import libpq_url
from guardrails.exchange_log.tables import metadata


def test_the_migrated_schema_is_the_one_that_tables_py_describes(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_server_default": True,
                "include_object": lambda _object, name, kind, reflected, _to: (
                    not (kind == "table" and reflected and name.startswith("exchanges_"))
                ),
            },
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_there_is_one_head() -> None:
    script = ScriptDirectory.from_config(alembic_config("postgresql://nowhere/none"))
    assert len(script.get_heads()) == 1


def test_migrating_twice_changes_nothing(postgres_url: str) -> None:
    migrate(postgres_url)
    with psycopg.connect(libpq_url(postgres_url)) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
