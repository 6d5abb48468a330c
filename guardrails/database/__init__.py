"""How do the rooms reach Postgres, and how does its schema come to the newest version?

SQLAlchemy and Alembic are imported where they are needed: the exchange log and the keys need
neither, and a proxy is smaller without them.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from guardrails.database.embedded import start_embedded
from guardrails.database.url import libpq_url, sqlalchemy_url
from guardrails.errors import ConfigError
from guardrails.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

logger = logging.getLogger(__name__)

MIGRATION_LOCK = 0x62616E69737465  # "baniste": one advisory lock id for all processes of ours


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """The URL of the configured database, or of the embedded one, held while the block runs.

    Blocks while the embedded server starts (0.3 s, the first time 4 s). It does not migrate.
    """
    if settings.database_url is not None:
        yield sqlalchemy_url(settings.database_url)
        return
    server = start_embedded(settings.data_dir)
    try:
        yield server.url
    finally:
        server.stop()


def make_engine(url: str, **options: Any) -> AsyncEngine:
    """An async engine on psycopg for any spelling of a Postgres URL.

    `options` go to SQLAlchemy's `create_async_engine`. Connections are tested before use, so that a
    restart of Postgres costs one reconnect and no error.
    """
    from sqlalchemy.ext.asyncio import create_async_engine

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
    from alembic import command

    with closing(psycopg.connect(libpq_url(url), autocommit=True)) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        command.upgrade(alembic_config(url), revision)
    logger.info("schema is at %s", revision)


def alembic_config(url: str) -> Any:
    """Alembic's configuration from the installed package: no ini file is needed."""
    from alembic.config import Config

    # Found, not imported: the migrations see our tables, and we do not see them.
    spec = importlib.util.find_spec("migrations")
    if spec is None or spec.origin is None:
        raise ConfigError("The package `migrations` is missing; install banister whole.")
    config = Config()
    config.set_main_option("script_location", str(Path(spec.origin).parent).replace("%", "%%"))
    config.attributes["url"] = sqlalchemy_url(url)
    return config
