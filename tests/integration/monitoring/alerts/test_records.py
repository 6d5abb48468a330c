"""What people may do about alerts, over real tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from msgspec import to_builtins
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.alert_tables import alerts
from monitoring.alerts import records
from monitoring.alerts.types import Evidence, Matcher, Severity, State
from monitoring.types import Figure

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def add(
    engine: AsyncEngine,
    key: str,
    *,
    state: State = State.FIRING,
    severity: Severity = Severity.WARNING,
    started_at: datetime = NOW,
) -> UUID:
    alert_id = uuid4()
    evidence = Evidence(
        (Figure("block rate", 0.08, "share", 400, low=0.05, high=0.11),), NOW - MINUTE, NOW
    )
    values = {
        "id": alert_id,
        "key": key,
        "job": "rate_drift",
        "severity": severity.value,
        "state": state.value,
        "labels": {"metric": "block"},
        "summary": "the block rate rose",
        "evidence": to_builtins(evidence),
        "started_at": started_at,
        "updated_at": started_at,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(alerts).values(values))
    return alert_id


async def test_alerts_are_read_back_the_critical_first(engine: AsyncEngine):
    old = await add(engine, "a", started_at=NOW - MINUTE)
    gone = await add(engine, "a-gone", state=State.RESOLVED)
    bad = await add(engine, "b", severity=Severity.CRITICAL)
    assert [one.id for one in await records.open_alerts(engine)] == [bad, old]
    assert [one.id for one in await records.list_alerts(engine, states=[State.RESOLVED])] == [gone]
    recent = await records.list_alerts(engine, since=NOW, severity=Severity.CRITICAL)
    assert [one.id for one in recent] == [bad]
    found = await records.find(engine, bad)
    assert found is not None
    assert found.evidence.figures[0].high == 0.11
    assert found.evidence.window_end == NOW
    assert await records.find(engine, uuid4()) is None


async def test_only_one_alert_of_a_key_is_open(engine: AsyncEngine):
    await add(engine, "a", state=State.RESOLVED)
    await add(engine, "a")
    with pytest.raises(IntegrityError):
        await add(engine, "a", state=State.ACKNOWLEDGED)


async def test_acknowledging_and_resolving_leave_their_names(engine: AsyncEngine):
    alert = await add(engine, "a")
    assert await records.acknowledge(engine, alert, "maria", NOW + MINUTE)
    assert not await records.acknowledge(engine, alert, "otto", NOW + MINUTE)
    found = await records.find(engine, alert)
    assert found is not None
    assert (found.state, found.acknowledged_by) == (State.ACKNOWLEDGED, "maria")
    assert await records.resolve(engine, alert, "otto", NOW + 2 * MINUTE, "rolled back")
    assert not await records.resolve(engine, alert, "otto", NOW + 2 * MINUTE)
    events = await records.history(engine, alert)
    assert [(one.kind, one.who) for one in events] == [
        ("acknowledged", "maria"),
        ("resolved", "otto"),
    ]
    assert events[1].detail == {"reason": "rolled back"}
    assert await records.notifications(engine, alert) == []


async def test_a_silence_needs_a_matcher_and_holds_until_its_end(engine: AsyncEngine):
    matchers = [Matcher("job", "=", "rate_drift"), Matcher("tenant", "=~", "acme.*")]
    made = await records.silence(engine, matchers, NOW, NOW + MINUTE, "maria", "a load test")
    (found,) = await records.silences(engine, NOW)
    assert (found.id, found.matchers, found.made_by) == (made, tuple(matchers), "maria")
    assert await records.silences(engine, NOW + MINUTE) == []
    assert await records.end_silence(engine, made, NOW)
    assert not await records.end_silence(engine, made, NOW)
    with pytest.raises(ValueError, match="needs a matcher"):
        await records.silence(engine, [], NOW, NOW + MINUTE, "maria", "all")
    with pytest.raises(ValueError, match="ends after"):
        await records.silence(engine, matchers, NOW, NOW, "maria", "backwards")
