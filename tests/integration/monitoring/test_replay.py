"""`banister replay` over a real log."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import ConfigError
from guardrails.exchange_log.cipher import make_cipher
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.policy.model import parse_policy
from guardrails.types import Action, Caller, Detection, Exchange, Stage, Verdict
from monitoring.replay.command import command
from monitoring.replay.records import Span, count, read
from monitoring.replay.redecide import Change
from monitoring.replay.run import replay
from monitoring.reviews import Item, add_items, label
from tests.factories import make_blocked, make_check, make_exchange, make_reason
from tests.integration.monitoring.traffic import HOUR, fill

POLICY = """
name: candidate
rules:
  - id: insults
    detector: toxicity
    label: insult
    stage: [input]
    threshold: {threshold}
    action: block
    on_error: block
"""
SPAN = Span(HOUR.start, HOUR.end)


def scored(score: float, **changes: object) -> Exchange:
    at = HOUR.start + timedelta(minutes=5)
    checks = (make_check(score=score), make_check(side=Stage.OUTPUT))
    return make_exchange(started_at=at, **{"checks": checks, **changes})


def traffic() -> list[Exchange]:
    flagged = Verdict(Action.FLAG, (make_reason(action=Action.FLAG),))
    return [
        *(scored(0.2) for _ in range(10)),
        *(scored(0.6, verdict=flagged) for _ in range(4)),
        *(make_blocked(started_at=HOUR.start) for _ in range(3)),
        scored(0.6, caller=Caller("k2", "other")),
        scored(0.6, caller=Caller(None, OWN_TENANT)),
        make_exchange(started_at=HOUR.end),
    ]


@pytest.mark.parametrize(
    ("threshold", "changes"),
    [
        (0.5, {Change.NEWLY_BLOCKED: 5, Change.NEWLY_PASSED: 0, Change.MILDER: 0}),
        (0.8, {Change.NEWLY_BLOCKED: 0, Change.NEWLY_PASSED: 0, Change.MILDER: 4}),
        (0.99, {Change.NEWLY_BLOCKED: 0, Change.NEWLY_PASSED: 3, Change.MILDER: 4}),
    ],
)
async def test_replay_says_what_another_threshold_would_change(
    engine: AsyncEngine, postgres_url: str, threshold: float, changes: dict[Change, int]
):
    await fill(postgres_url, traffic())
    heard: list[int] = []
    async with engine.connect() as connection:
        policy = parse_policy(POLICY.format(threshold=threshold), None)
        found = await replay(connection, policy, SPAN, {}, sweep="insults", told=heard.append)
        assert await count(connection, SPAN) == found.replay.n == heard[-1] == 18
    assert {change: found.replay.changes[change] for change in changes} == changes
    assert found.replay.unanswered == changes[Change.NEWLY_PASSED]
    assert found.curve is not None
    assert [p.fires for p in found.curve.points if p.threshold == threshold] == [
        {0.5: 8, 0.8: 3, 0.99: 0}[threshold]
    ]


async def test_span_keeps_to_its_tenant_and_to_the_newest(engine: AsyncEngine, postgres_url: str):
    await fill(postgres_url, traffic())
    async with engine.connect() as connection:

        async def ids(**changes: object) -> list[str]:
            span = Span(HOUR.start, HOUR.end, **changes)
            rows = [row async for batch in read(connection, span) for row in batch]
            assert await count(connection, span) == len(rows)
            return [row.caller.tenant for row in rows]

        assert await ids(tenant="other") == ["other"]
        assert await ids(route="nowhere") == []
        assert len(await ids(most=2)) == 2


async def test_unknown_rule_cannot_be_swept(engine: AsyncEngine):
    policy = parse_policy(POLICY.format(threshold=0.5), None)
    async with engine.connect() as connection:
        with pytest.raises(ConfigError, match="no rule 'typo'; it has insults"):
            await replay(connection, policy, SPAN, {}, sweep="typo")


async def test_encrypted_texts_are_read_with_their_key_and_undecided_without(
    engine: AsyncEngine, postgres_url: str
):
    keys = SecretStr("a:" + base64.b64encode(b"k" * 32).decode())
    cipher = make_cipher(keys, b"secret")
    assert cipher is not None
    log = ExchangeLog(postgres_url, 100, seal=cipher.seal)
    await log.start()
    log.append(scored(0.6, checks=(make_check(detections=(Detection("insult", 0.6),)),)))
    await log.stop()
    other = make_cipher(SecretStr("b:" + base64.b64encode(b"x" * 32).decode()), b"secret")
    policy = parse_policy(POLICY.format(threshold=0.5), None)
    async with engine.connect() as connection:
        opened = await replay(connection, policy, SPAN, {}, cipher=cipher)
        locked = await replay(connection, policy, SPAN, {}, cipher=other)
    assert opened.replay.changes[Change.NEWLY_BLOCKED] == 1
    assert locked.replay.changes[Change.UNDECIDED] == 1


async def test_command_shows_the_changes_and_writes_them(
    engine: AsyncEngine, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    exchanges = traffic()
    await fill(postgres_url, exchanges)
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("BANISTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    policy, out = tmp_path / "candidate.yaml", tmp_path / "seen.json"
    policy.write_text(POLICY.format(threshold=0.5))
    arguments = ["--policy", str(policy), "--since", f"{HOUR.start:%Y-%m-%dT%H:%M}"]
    arguments += ["--until", f"{HOUR.end:%Y-%m-%dT%H:%M}", "--json", str(out)]
    shown = await asyncio.to_thread(CliRunner().invoke, command, [*arguments, "--sweep", "insults"])
    assert shown.exit_code == 0, shown.output
    assert "newly blocked" in shown.output
    assert "27.78%" in shown.output
    assert "No reviewer has judged any" in shown.output
    written = json.loads(out.read_text())
    assert written["changes"]["newly blocked"] == 5
    assert {"before": "block", "after": "block", "n": 3} in written["moves"]
    assert written["curve"]["rule"] == "insults"
    item = Item(
        exchange_id=UUID(exchanges[10].id),
        exchange_started_at=exchanges[10].started_at,
        side="input",
        why="random",
        sampled_at=HOUR.end,
    )
    await add_items(engine, [item])
    await label(engine, item.id, "ana", harmful=True, now=HOUR.end)
    judged = await asyncio.to_thread(CliRunner().invoke, command, arguments)
    assert re.search(r"harmful +1 +0.00% +100.00%", judged.output)
    nothing = ["--policy", str(policy), "--since", "2m", "--until", "1m"]
    empty = await asyncio.to_thread(CliRunner().invoke, command, nothing)
    assert "No data" in empty.output
