"""`banister verify | retention | erase | export`, and the jobs of the same, over a real log."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit
from guardrails.database.url import libpq_url
from guardrails.exchange_log.commands import erase, export, retention, verify
from guardrails.exchange_log.export import LEFT_OUT
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Caller, Exchange
from monitoring import runs
from monitoring.connected import connected
from monitoring.jobs import load, seal
from monitoring.run import run
from monitoring.types import Status
from monitoring.windows import last_full
from tests.factories import make_blocked, make_exchange

NOW = datetime.now(UTC)


async def write(url: str, *exchanges: Exchange) -> None:
    log = ExchangeLog(url, 10_000)
    await log.start()
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
    assert log.stats.written == len(exchanges)


@pytest.fixture(autouse=True)
def environment(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("BANISTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BANISTER_SEAL_SECRET", "only here")
    monkeypatch.setenv("COLUMNS", "300")


async def job(name: str, engine: AsyncEngine):
    made = load(name)
    return await run(made, last_full(made.every, NOW), engine, now=lambda: NOW)


def banister(command, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


async def tamper(url: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True) as connection:
        await connection.execute(statement)


async def test_verify_says_ok_until_a_row_is_changed(
    postgres_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    heads = tmp_path / "heads.json"
    await write(postgres_url, make_exchange(), make_blocked())
    assert "2 not sealed yet" in await in_thread(banister, verify)
    assert load("seal").every == seal.EVERY
    done = await job("seal", engine)
    assert (done.status, done.outcome.figures[0].value) == (Status.OK, 2)
    said = await in_thread(banister, verify, "--heads", str(heads))
    assert "2 rows held to their seals; 0 not sealed yet" in said
    assert len(json.loads(heads.read_text())) == 1
    await tamper(postgres_url, "UPDATE exchanges SET decision = 'allow' WHERE decision = 'block'")
    kept = heads.read_text()
    assert "1 changed" in await in_thread(banister, verify, "--heads", str(heads), code=1)
    assert heads.read_text() == kept
    await tamper(postgres_url, "TRUNCATE exchange_seals, exchanges, log_progress")
    said = await in_thread(banister, verify, "--heads", str(heads), code=1)
    assert "which was seen before, is gone" in said


async def in_thread(function, *arguments, **options):
    """A command runs a loop of its own."""
    return await asyncio.to_thread(function, *arguments, **options)


async def test_erase_asks_first_and_hold_keeps(postgres_url: str, engine: AsyncEngine) -> None:
    asked = make_exchange("forget me", started_at=NOW - timedelta(hours=1))
    ann = asked.evolve(request={**asked.request, "user": "ann"})
    await write(postgres_url, ann, make_exchange())
    arguments = ("--tenant", "acme", "--user", "ann", "--reason", "request 9")
    refused = await in_thread(
        lambda: CliRunner().invoke(erase, arguments, input="n\n", catch_exceptions=False)
    )
    assert refused.exit_code == 1
    hold = ("hold", "--tenant", "acme", "--user", "ann", "--reason", "case 12")
    hold_ids = (await in_thread(banister, retention, *hold)).split()
    assert "case 12" in await in_thread(banister, retention, "holds")
    said = await in_thread(banister, erase, *arguments, "--yes")
    assert "Erased 0 exchanges, 0 copies of audits, 0 reasons and notes" in said
    assert "1 are held" in said
    for hold_id in hold_ids:
        assert "Released" in await in_thread(banister, retention, "release", hold_id)
    assert "no such hold" in await in_thread(banister, retention, "release", hold_ids[0], code=1)
    assert "texts of 1 exchanges erased" in await in_thread(banister, retention, "run")
    await job("seal", engine)
    assert ", 1 erased" in await in_thread(banister, verify)
    assert "forget me" not in await in_thread(banister, export)
    acts = await audited(engine)
    assert [one.action for one in acts[:2]] == ["exchanges.hold", "exchanges.erase"]
    assert (acts[1].target, acts[1].detail) == ("acme", {"one user": True})
    assert "ann" not in str([one.detail for one in acts]), "nobody's name is kept here"


async def audited(engine: AsyncEngine) -> list[audit.Entry]:
    async with engine.connect() as connection:
        return (await audit.latest(connection, 20))[::-1]


async def test_export_writes_what_was_asked_for_and_stands_in_the_audit_log(
    postgres_url: str, engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "somebody else")
    mine = [
        make_exchange(f"question {n}", started_at=NOW - timedelta(hours=n), caller=Caller("k", "t"))
        for n in range(5)
    ]
    await write(postgres_url, *mine, make_exchange(), make_blocked())
    lines, table = tmp_path / "log.jsonl", tmp_path / "log.parquet"
    since = f"{NOW - timedelta(hours=3, minutes=30):%Y-%m-%dT%H:%M}"
    await in_thread(banister, export, "--tenant", "t", "--since", since, "--jsonl", str(lines))
    read = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["id"] for row in read] == [exchange.id for exchange in mine[3::-1]]
    assert read[0]["request"] == mine[3].request
    assert set(LEFT_OUT).isdisjoint(read[0])
    await in_thread(banister, export, "--parquet", str(table))
    written = pyarrow.parquet.read_table(table)
    assert written.num_rows == 7
    assert str(written.schema.field("started_at").type) == "timestamp[us, tz=UTC]"
    column = {row["id"]: row for row in written.to_pylist()}[mine[0].id]
    assert json.loads(column["request"]) == mine[0].request
    assert column["gen_ai_response_finish_reasons"] == ["stop"]
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    begun, ended, *_ = await audited(engine)
    assert begun.who == ended.who == f"{pwd.getpwuid(os.getuid()).pw_name} (command line)"
    assert (begun.action, begun.target) == ("exchanges.export", str(lines))
    assert begun.detail == {"tenant": "t", "since": f"{since}:00+00:00"}
    assert (ended.action, ended.detail) == ("exchanges.exported", {**begun.detail, "rows": 4})
    nowhere = ("--jsonl", str(tmp_path / "none" / "log.jsonl"))
    with pytest.raises(FileNotFoundError):
        await in_thread(banister, export, *nowhere)
    assert (await audited(engine))[-1].detail == {"rows": 0}
    await tamper(postgres_url, "ALTER TABLE audit_log RENAME TO away")
    with pytest.raises(psycopg.errors.UndefinedTable):
        await in_thread(banister, export, "--jsonl", str(tmp_path / "unseen"))
    assert not (tmp_path / "unseen").exists(), "what cannot be recorded does not happen"
    both = ("--jsonl", str(lines), "--parquet", str(table))
    assert "not both" in await in_thread(banister, export, *both, code=2)


async def test_the_jobs_take_the_log_through_its_upkeep(
    postgres_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANISTER_RETENTION_DAYS", "30")
    old = make_exchange(started_at=NOW - timedelta(days=40))
    await write(postgres_url, old, make_exchange(), make_blocked())
    assert (await job("rollups", engine)).outcome.message == "1 ranges of transactions taken in"
    assert (await job("seal", engine)).status is Status.OK
    done = await job("retention", engine)
    assert done.outcome.message.startswith("1 days dropped, 0 days held, 0 days in use")
    said = await in_thread(banister, verify)
    assert "dropped by retention" in said
    shown = [one.job for one in await runs.recent(engine)]
    assert sorted(shown) == ["retention", "seal"]
    async with connected(engine) as connection:
        rows = await connection.execute("SELECT sum(exchanges) FROM exchange_counts WHERE step=60")
        assert (await rows.fetchone())[0] == 2


async def test_the_writers_role_can_only_append(postgres_url: str) -> None:
    await write(postgres_url, make_exchange())
    name = f"proxy_{NOW:%H%M%S%f}"
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as owner:
        role = sql.Identifier(name)
        await owner.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE banister_writer").format(role))
        try:
            url = postgres_url.replace("postgres@", f"{name}@")
            assert url != postgres_url
            exchange = make_exchange()
            # One twice: told from a new one without a right to read.
            await write(url, exchange)
            log = ExchangeLog(url, 10)
            await log.start()
            log.append(exchange)
            log.remember_policy("0123456789ab", "default", "rules: []")
            await log.stop()
            assert (log.stats.dropped, log.stats.rejected) == (0, 0)
            async with await psycopg.AsyncConnection.connect(
                libpq_url(url), autocommit=True
            ) as writer:
                for statement in (
                    "UPDATE exchanges SET decision = 'allow'",
                    "DELETE FROM exchanges",
                    "TRUNCATE exchanges",
                    "DROP TABLE exchanges",
                    "ALTER TABLE exchanges DISABLE TRIGGER ALL",
                    "SELECT request FROM exchanges",
                    f"DELETE FROM exchanges_{NOW:%Y_%m_%d}",
                    "DELETE FROM exchange_seals",
                    "UPDATE exchange_seals SET rows = 0",
                    "UPDATE log_progress SET xact = 0",
                    "DELETE FROM holds",
                    "UPDATE erasures SET erased = 0",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        await writer.execute(statement)
            counted = await owner.execute("SELECT count(*) FROM exchanges")
            assert await counted.fetchone() == (2,)
        finally:
            await owner.execute(sql.SQL("DROP ROLE {}").format(role))
