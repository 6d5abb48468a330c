from __future__ import annotations

import psycopg
from click.testing import CliRunner

from guardrails.commands.migrate import migrate
from guardrails.database.url import libpq_url


def test_an_empty_database_gets_its_tables_and_a_second_run_is_fine(make_database, monkeypatch):
    url = make_database(empty=True)
    monkeypatch.setenv("BANISTER_DATABASE_URL", url)
    for _ in range(2):
        result = CliRunner().invoke(migrate, catch_exceptions=False)
        assert result.output == "The schema is up to date.\n"
    with psycopg.connect(libpq_url(url)) as connection:
        assert connection.execute("SELECT count(*) FROM exchanges").fetchone() == (0,)
