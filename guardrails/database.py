"""How do the rooms reach Postgres, and how does its schema come to the newest version?"""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import migrations
from guardrails.database_url import libpq_url, sqlalchemy_url

logger = logging.getLogger(__name__)

MIGRATION_LOCK = 0x62616E69737465  # "baniste": one advisory lock id for all processes of ours


def make_engine(url: str, **options: Any) -> AsyncEngine:
    """An async engine on psycopg for any spelling of a Postgres URL.

    `options` go to SQLAlchemy's `create_async_engine`. Connections are tested before use, so that a
    restart of Postgres costs one reconnect and no error.
    """
    defaults: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 5}
    return create_async_engine(sqlalchemy_url(url), **{**defaults, **options})


def migrate(url: str, *, revision: str = "head") -> None:
    """Bring the schema to `revision`; safe when several processes start at once.

    Blocks: call it at start, or in a thread. The first caller migrates while the others wait for
    its advisory lock, then find nothing to do. Each migration sets its own `lock_timeout`, so a
    busy table stops the migration and never the traffic behind it.
    Errors: psycopg.OperationalError where Postgres cannot be reached; sqlalchemy's where a step
    fails: then its transaction is rolled back whole.
    """
    # Alembic takes 0.2 s to import, and a proxy that does not migrate never needs it.
    from alembic import command

    with closing(psycopg.connect(libpq_url(url), autocommit=True)) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        command.upgrade(alembic_config(url), revision)
    logger.info("schema is at %s", revision)


def alembic_config(url: str) -> Any:
    """Alembic's configuration from the installed package: no ini file is needed."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["url"] = sqlalchemy_url(url)
    return config
