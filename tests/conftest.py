"""What every test may ask for: a real Postgres, a fresh migrated database, an engine on it."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine, migrate
from guardrails.database.embedded import start_embedded
from guardrails.database.url import libpq_url

TEMPLATE = "template_migrated"

# How long one example takes is the machine's affair; speed is measured by `banister bench`.
settings.register_profile("banister", deadline=None)
settings.load_profile("banister")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of one embedded server for the whole run; `…/postgres` is its own database."""
    directory = Path(tempfile.mkdtemp(prefix="banister-tests-"))
    # Nothing of it outlives the run, so it need not wait for the disk.
    lazy = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = start_embedded(directory, options=lazy)
    yield server.url.replace("/banister?", "/postgres?")
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def make_database(postgres_server: str) -> Iterator[Callable[..., str]]:
    """A function that makes a database and gives its URL: migrated, or `empty=True`."""
    made: list[str] = []
    numbers = itertools.count(1)
    with psycopg.connect(libpq_url(postgres_server), autocommit=True) as connection:

        def url_of(name: str) -> str:
            return postgres_server.replace("/postgres?", f"/{name}?")

        def create(name: str, template: str) -> str:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            return url_of(name)

        def make(*, empty: bool = False) -> str:
            name = f"test_{os.getpid()}_{next(numbers)}"
            if empty:
                return create(name, "template1")
            if not made:
                migrate(create(TEMPLATE, "template1"))
                made.append(TEMPLATE)
            return create(name, TEMPLATE)

        yield make


@pytest.fixture
def postgres_url(make_database: Callable[..., str]) -> str:
    """A fresh migrated database of this test's own."""
    return make_database()


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """An async engine on `postgres_url`."""
    engine = make_engine(postgres_url)
    yield engine
    await engine.dispose()
