import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner

from guardrails.database import make_engine
from guardrails.database.url import libpq_url
from guardrails.exchange_log.writer import ExchangeLog
from monitoring import reviews
from monitoring.labels.command import labels
from monitoring.reviews import Item
from tests.factories import make_exchange

NOW = datetime.now(UTC)


async def review(url: str) -> None:
    log, engine = ExchangeLog(url, 100), make_engine(url)
    await log.start()
    at = NOW - timedelta(hours=1)
    exchange = make_exchange("Tell me a joke.", "You fool.", started_at=at, language="en")
    log.append(exchange)
    await log.stop()
    for side, why, harmful in (("input", "random", False), ("output", "alert", True)):
        item = Item(
            exchange_id=UUID(exchange.id),
            exchange_started_at=at,
            side=side,
            why=why,
            sampled_at=NOW,
            probability=0.25 if why == "random" else None,
        )
        await reviews.add_items(engine, [item])
        said = ["toxicity"] if harmful else []
        await reviews.label(engine, item.id, "ada", harmful=harmful, labels=said, now=NOW)
    await engine.dispose()


def test_what_reviewers_said_becomes_rows_that_calibrate_reads(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asyncio.run(review(postgres_url))
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("BANISTER_DATA_DIR", str(tmp_path))
    file = tmp_path / "labels.jsonl"
    result = CliRunner().invoke(labels, ["export", str(file)], catch_exceptions=False)
    assert result.output.startswith("2 labelled texts")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["text"]: row["labels"]["toxicity"] for row in rows} == {
        "Tell me a joke.": 0,
        "You fool.": 1,
    }
    CliRunner().invoke(labels, ["export", str(file), "--sampled"], catch_exceptions=False)
    (row,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (row["probability"], row["source"], row["language"]) == (0.25, "random", "en")
    with psycopg.connect(libpq_url(postgres_url)) as connection:
        acts = connection.execute("SELECT action, target, detail FROM audit_log ORDER BY id")
        begun, ended, *_ = acts.fetchall()
    assert begun[:2] == ("labels.export", str(file))
    assert (ended[0], ended[2]) == ("labels.exported", {**begun[2], "rows": 2})
    assert begun[2]["sampled"] is False
