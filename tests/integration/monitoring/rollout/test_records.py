from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database.url import libpq_url
from guardrails.errors import ConfigError
from monitoring.retraining import registry
from monitoring.rollout import records
from monitoring.rollout.plan import Plan, Step
from monitoring.rollout.records import Rollout

T0 = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
PLAN = Plan(steps=(Step(0.01, 60, 10), Step(0.5, 60, 10)))


async def started(engine: AsyncEngine, candidate: str = "small@2", **changes: object) -> Rollout:
    values = {"champion": "small@1", "who": "ada", "why": "a better one", "now": T0, "plan": PLAN}
    return await records.start(engine, model="small", candidate=candidate, **{**values, **changes})


def by(minutes: float, why: str = "as I say") -> dict[str, object]:
    return {"who": "bob", "why": why, "now": T0 + timedelta(minutes=minutes)}


async def test_a_rollout_starts_at_its_first_step_and_says_who_and_why(engine):
    rollout = await started(engine)
    assert (rollout.state, rollout.share, rollout.step) == ("running", 0.01, 0)
    assert rollout.plan == PLAN
    (event,) = await records.events(engine, rollout.id)
    assert (event.kind, event.share, event.at) == ("started", 0.01, T0)
    assert event.detail == {"who": "ada", "why": "a better one"}
    assert await records.latest(engine, "small") == rollout
    assert await records.recent(engine) == [rollout]
    assert await records.under_way(engine) == [(rollout.id, "small@2")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"candidate": "large@2"}, "no version of 'small'"),
        ({"champion": "small@"}, "no version of 'small'"),
        ({"candidate": "small@1"}, "against itself"),
    ],
)
async def test_versions_that_cannot_be_compared_are_refused(engine, changes, said):
    with pytest.raises(ConfigError, match=said):
        await started(engine, **changes)


async def test_only_one_rollout_of_a_model_is_open(engine):
    await started(engine)
    with pytest.raises(ConfigError, match="is open"):
        await started(engine, "small@3")


async def test_every_change_by_hand_is_recorded_and_moves_the_share(engine):
    rollout = await started(engine)
    paused = await records.pause(engine, rollout.id, **by(1))
    assert (paused.state, paused.share, paused.reason) == ("paused", 0.01, "as I say")
    assert await records.under_way(engine) == [(rollout.id, "small@2")]
    resumed = await records.resume(engine, rollout.id, **by(2))
    assert (resumed.state, resumed.share) == ("running", 0.01)
    promoted = await records.promote(engine, rollout.id, **by(3))
    assert (promoted.state, promoted.share) == ("promoted", 1.0)
    assert records.serves(promoted) == "small@2"
    back = await records.roll_back(engine, rollout.id, **by(4))
    assert (back.state, back.share) == ("rolled_back", 0.0)
    assert records.serves(back) == "small@1"
    assert await records.under_way(engine) == []
    kinds = [event.kind for event in await records.events(engine, rollout.id)]
    assert kinds == ["started", "paused", "resumed", "promoted", "rolled_back"]


async def test_a_change_that_does_not_fit_the_state_is_refused(engine):
    rollout = await started(engine)
    with pytest.raises(ConfigError, match="is running"):
        await records.resume(engine, rollout.id, **by(1))
    await records.roll_back(engine, rollout.id, **by(2))
    with pytest.raises(ConfigError, match="is rolled_back"):
        await records.promote(engine, rollout.id, **by(3))
    with pytest.raises(ConfigError, match="no such rollout"):
        await records.pause(engine, uuid4(), **by(4))


async def test_the_next_champion_is_the_version_that_serves(engine):
    first = await started(engine)
    await records.promote(engine, first.id, **by(1))
    with pytest.raises(ConfigError, match="small@2 serves small now"):
        await started(engine, "small@3", now=T0 + timedelta(minutes=2))
    second = await started(engine, "small@3", champion="small@2", now=T0 + timedelta(minutes=2))
    assert second.champion == "small@2"
    with pytest.raises(ConfigError, match="A later rollout"):
        await records.roll_back(engine, first.id, **by(3))


async def test_which_version_served_at_a_time_is_one_query(engine):
    rollout = await started(engine)
    await records.promote(engine, rollout.id, **by(10))
    await records.roll_back(engine, rollout.id, **by(20))
    assert await records.at(engine, T0 - timedelta(seconds=1)) == []
    shares = {}
    for minutes in (0, 5, 10, 15, 25):
        (serving,) = await records.at(engine, T0 + timedelta(minutes=minutes))
        assert (serving.model, serving.champion, serving.candidate) == (
            "small",
            "small@1",
            "small@2",
        )
        shares[minutes] = (serving.share, serving.kind)
    assert shares == {
        0: (0.01, "started"),
        5: (0.01, "started"),
        10: (1.0, "promoted"),
        15: (1.0, "promoted"),
        25: (0.0, "rolled_back"),
    }


async def test_a_step_of_the_plan_is_written_with_its_share(engine):
    rollout = await started(engine)
    async with engine.begin() as connection:
        held = await records.locked(connection, rollout.id)
        detail = {"who": "controller", "why": "enough seen"}
        await records.change(connection, held, "step", now=T0, detail=detail, step=1)
    after = await records.find(engine, rollout.id)
    assert (after.step, after.share, after.state) == (1, 0.5, "running")


async def test_conversations_that_were_counted_are_forgotten_when_it_is_over(engine):
    rollout = await started(engine)
    add = text("INSERT INTO rollout_conversations VALUES (:id, 7)")
    count = text("SELECT count(*) FROM rollout_conversations")
    async with engine.begin() as connection:
        await connection.execute(add, {"id": rollout.id})
    await records.roll_back(engine, rollout.id, **by(1))
    async with engine.connect() as connection:
        assert (await connection.execute(count)).scalar_one() == 0


async def test_proxies_are_told_when_a_change_is_committed(engine, postgres_url):
    async with await psycopg.AsyncConnection.connect(
        libpq_url(postgres_url), autocommit=True
    ) as listener:
        await listener.execute(f"LISTEN {records.CHANNEL}")
        await started(engine)
        told = [notice async for notice in listener.notifies(timeout=5, stop_after=1)]
    assert [(notice.channel, notice.payload) for notice in told] == [(records.CHANNEL, "small")]


async def registered(engine: AsyncEngine, version: str, stage: registry.Stage) -> None:
    new = registry.NewVersion(
        model="small", version=version, kind="language_model", weights_uri="file:///w",
        weights_sha256="0" * 64, evaluation={}, lineage={}, stage=stage,
    )  # fmt: skip
    await registry.register(engine, new, now=T0)


async def stages(engine: AsyncEngine) -> dict[str, str]:
    return {v.version: v.stage for v in await registry.versions(engine, model="small")}


async def test_the_registry_says_what_became_of_the_versions(engine):
    await registered(engine, "1", "champion")
    await registered(engine, "2", "registered")
    rollout = await started(engine)
    assert await stages(engine) == {"1": "champion", "2": "canary"}
    await records.promote(engine, rollout.id, **by(1))
    assert await stages(engine) == {"1": "retired", "2": "champion"}
    await records.roll_back(engine, rollout.id, **by(2))
    assert await stages(engine) == {"1": "champion", "2": "refused"}
