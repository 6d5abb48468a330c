from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from guardrails.database import alembic_config, migrate
from guardrails.database.url import libpq_url
from guardrails.exchange_log.all_tables import metadata
from guardrails.exchange_log.rollups import catch_up
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Caller
from tests.factories import make_blocked, make_exchange, make_id

MIGRATE = "import sys; from guardrails.database import migrate; migrate(sys.argv[1])"

ADD_PASSAGE = """
WITH document AS (
    INSERT INTO documents (collection, title, source, sha256, media_type)
    VALUES ('c', 't', 's', 'x', 'text/plain') RETURNING id
)
INSERT INTO passages (document_id, collection, number, start_offset, end_offset, text, embedding)
SELECT id, 'c', 0, 0, 8, 'railings', array_fill(0.1, ARRAY[384])::vector FROM document
"""


def test_the_migrated_schema_is_the_one_that_tables_py_describes(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_server_default": True,
                "include_object": lambda _object, name, kind, reflected, _to: (
                    not (
                        kind == "table"
                        and reflected
                        and name.startswith(
                            ("exchanges_", "exchange_texts_", "exchange_embeddings_")
                        )
                    )
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


def test_several_processes_may_migrate_an_empty_database_at_once(
    make_database: Callable[..., str],
) -> None:
    url = make_database(empty=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, url], stderr=subprocess.PIPE, text=True, cwd="/"
        )
        for _ in range(3)
    ]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0, 0], ended
    with psycopg.connect(libpq_url(url)) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


async def test_it_goes_down_and_up_again_with_rows_in_place(postgres_url: str) -> None:
    async def record() -> None:
        log = ExchangeLog(postgres_url, 10)
        await log.start()
        log.append(make_exchange())
        log.append(make_blocked())
        log.remember_policy("0123456789ab", "default", "rules: []")
        await log.stop()
        assert log.stats.written == 2

    await record()
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        connection.execute(ADD_PASSAGE)
        command.downgrade(alembic_config(postgres_url), "base")
        left = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname = 'public' AND relkind IN ('r', 'p') ORDER BY relname"
        ).fetchall()
        assert left == [("alembic_version",)]
        migrate(postgres_url)
        assert connection.execute("SELECT count(*) FROM exchanges").fetchone() == (0,)
    await record()


async def test_the_upkeep_of_the_log_goes_down_and_up_with_every_row_kept(
    postgres_url: str,
) -> None:
    made = [make_exchange(), make_blocked()]
    log = ExchangeLog(postgres_url, 10)
    await log.start()
    for exchange in made:
        log.append(exchange)
    await log.stop()
    command.downgrade(alembic_config(postgres_url), "0002")
    with psycopg.connect(libpq_url(postgres_url)) as connection:
        older = make_id()
        connection.execute(
            "INSERT INTO exchanges"
            " SELECT (jsonb_populate_record(e, jsonb_build_object('id', %s::text))).*"
            " FROM exchanges AS e LIMIT 1",
            (older,),
        )
    command.upgrade(alembic_config(postgres_url), "head")
    with psycopg.connect(libpq_url(postgres_url)) as connection:
        found = connection.execute("SELECT id::text, xact FROM exchanges").fetchall()
    assert {exchange_id for exchange_id, _ in found} == {*(one.id for one in made), older}
    assert {xact for _, xact in found} == {0}


async def test_the_hours_of_the_whole_log_come_from_those_of_its_parts(postgres_url: str) -> None:
    hours = "SELECT start, decision, exchanges, reached FROM exchange_hours ORDER BY 1, 2"
    labels = "SELECT start, label, exchanges FROM label_hours"
    log = ExchangeLog(postgres_url, 10)
    await log.start()
    for tenant in ("acme", "globex"):
        log.append(make_blocked(caller=Caller("k", tenant)))
        log.append(make_exchange(caller=Caller("k", tenant)))
    await log.stop()
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as connection:
        await catch_up(connection)
        before = [await (await connection.execute(query)).fetchall() for query in (hours, labels)]
        command.downgrade(alembic_config(postgres_url), "count_paths")
        command.upgrade(alembic_config(postgres_url), "head")
        after = [await (await connection.execute(query)).fetchall() for query in (hours, labels)]
        assert after == before
        assert [row[2] for row in after[0]] == [2, 2]
        # So did the job until now; it must not count on without the new tables.
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(
                "INSERT INTO label_counts"
                " VALUES (60, now(), '', '', '', 'block', 'd', 'l', false, 1)"
            )


def test_a_migration_gives_up_on_a_busy_table(make_database: Callable[..., str]) -> None:
    url = make_database()
    command.downgrade(alembic_config(url), "0002")
    with psycopg.connect(libpq_url(url)) as reader:
        reader.execute("SELECT count(*) FROM exchanges").fetchone()
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate(url)
    migrate(url)


def test_deleting_a_document_deletes_its_passages(postgres_url: str) -> None:
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        connection.execute(ADD_PASSAGE)
        found = connection.execute(
            "SELECT search @@ to_tsquery('english', 'railing') FROM passages"
        ).fetchall()
        assert found == [(True,)]
        connection.execute("DELETE FROM documents")
        assert connection.execute("SELECT count(*) FROM passages").fetchone() == (0,)


def test_a_second_run_over_the_same_window_is_refused(postgres_url: str) -> None:
    insert = (
        "INSERT INTO monitor_runs (job, window_start, window_end, status)"
        " VALUES ('drift', '2026-11-22Z', '2026-11-23Z', 'OK') ON CONFLICT DO NOTHING"
    )
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        assert [connection.execute(insert).rowcount for _ in range(2)] == [1, 0]
