from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from guardrails.database import make_engine, open_database
from guardrails.database.url import libpq_url
from guardrails.settings import Settings


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that the server's own user can reach; pytest's lie under one that it cannot."""
    directory = Path(tempfile.mkdtemp(prefix="banister-tests-"))
    yield directory
    shutil.rmtree(directory)


def test_open_database_holds_the_embedded_one_only_where_none_is_given(
    tmp_path: Path, data_dir: Path
) -> None:
    with open_database(Settings(data_dir=tmp_path, database_url="postgres://u@h/d")) as url:
        assert url == "postgresql+psycopg://u@h/d"
    assert list(tmp_path.iterdir()) == [], "nothing was started"
    with open_database(Settings(data_dir=data_dir)) as url:
        assert psycopg.connect(libpq_url(url)).close() is None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(libpq_url(url))


async def test_an_engine_survives_that_its_connections_are_cut(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    mine = text("SELECT pg_backend_pid()")
    async with engine.connect() as connection:
        pid = (await connection.execute(mine)).scalar_one()
    async with await psycopg.AsyncConnection.connect(libpq_url(postgres_url)) as other:
        await other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    await asyncio.sleep(0.1)
    async with engine.connect() as connection:
        assert (await connection.execute(mine)).scalar_one() != pid
    await engine.dispose()


def test_each_test_has_a_database_of_its_own(make_database: Callable[..., str]) -> None:
    urls = [make_database(), make_database(), make_database(empty=True)]
    assert len(set(urls)) == 3
    with psycopg.connect(libpq_url(urls[0]), autocommit=True) as connection:
        connection.execute("INSERT INTO policies (hash, name, source) VALUES ('a', 'b', 'c')")
    with psycopg.connect(libpq_url(urls[1])) as connection:
        assert connection.execute("SELECT count(*) FROM policies").fetchone() == (0,)


@pytest.mark.parametrize("module", ["guardrails.database", "guardrails.app"])
def test_the_proxy_imports_no_sqlalchemy_and_no_alembic(module: str) -> None:
    asked = f"import sys, {module}; print({{'sqlalchemy', 'alembic'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
