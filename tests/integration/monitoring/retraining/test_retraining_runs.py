from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import BadRequest
from monitoring.retraining import runs
from monitoring.retraining.runs import Asked, RetrainingRun

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def asked(key: str = "alert-1", **changes: object) -> Asked:
    values = {"key": key, "model": "small", "reason": "drift", "opened_by": "monitor"}
    return Asked(**{**values, **changes})


async def opened(engine: AsyncEngine, *, needs_approval: bool = False) -> RetrainingRun:
    opening = await runs.open_run(engine, asked(), now=NOW, needs_approval=needs_approval)
    assert opening.run is not None
    return opening.run


async def test_the_same_cause_opens_one_run_even_when_asked_by_many_at_once(
    engine: AsyncEngine,
) -> None:
    openings = await asyncio.gather(*(runs.open_run(engine, asked(), now=NOW) for _ in range(5)))
    assert sum(opening.new for opening in openings) == 1
    assert len({opening.run.id for opening in openings if opening.run}) == 1


async def test_there_is_one_run_in_flight(engine: AsyncEngine) -> None:
    first = await opened(engine)
    second = await runs.open_run(engine, asked("alert-2", model="other"), now=NOW)
    assert second.run is None
    assert "in flight" in (second.held or "")
    await runs.finish(engine, first.id, "failed", "no", now=NOW)
    assert (await runs.open_run(engine, asked("alert-2", model="other"), now=NOW)).new


async def test_a_model_cools_down_before_its_next_run(engine: AsyncEngine) -> None:
    first = await opened(engine)
    await runs.finish(engine, first.id, "succeeded", "done", now=NOW)
    early = await runs.open_run(engine, asked("b"), now=NOW + DAY / 2, cooldown=DAY)
    assert "cooldown" in (early.held or "")
    assert (await runs.open_run(engine, asked("b"), now=NOW + DAY, cooldown=DAY)).new


async def test_a_decision_says_who_when_and_why(engine: AsyncEngine) -> None:
    run = await opened(engine, needs_approval=True)
    assert run.state == "waiting"
    with pytest.raises(BadRequest, match="waiting"):
        await runs.begin_step(engine, run.id, "prepare", now=NOW)
    done = await runs.approve(engine, run.id, "ada", "the topic is new", now=NOW + DAY)
    assert (done.state, done.approver, done.decided_at, done.decision_reason) == (
        "approved",
        "ada",
        NOW + DAY,
        "the topic is new",
    )
    with pytest.raises(BadRequest, match="approved"):
        await runs.approve(engine, run.id, "bob", "me too", now=NOW + DAY)
    ended = await runs.refuse(engine, run.id, "bob", "labels are thin", now=NOW + DAY)
    assert (ended.state, ended.finished_at) == ("refused", NOW + DAY)


async def test_steps_are_recorded_with_their_attempts_and_results(engine: AsyncEngine) -> None:
    run = await opened(engine)
    await runs.begin_step(engine, run.id, "prepare", now=NOW)
    again = await runs.begin_step(engine, run.id, "prepare", now=NOW + DAY)
    assert again.attempts == 2
    result = {"rows": 3, "dataset_sha256": "abc"}
    await runs.end_step(engine, run.id, "prepare", now=NOW + DAY, result=result)
    await runs.begin_step(engine, run.id, "tune", now=NOW + DAY)
    await runs.end_step(engine, run.id, "tune", now=NOW + DAY, error="out of memory")
    found = await runs.get(engine, run.id)
    assert found is not None
    assert found.state == "running"
    assert found.dataset_sha256 == "abc"
    assert found.steps["prepare"].result == result
    assert (found.steps["tune"].state, found.steps["tune"].error) == ("failed", "out of memory")


async def test_what_has_ended_stays_as_it_is(engine: AsyncEngine) -> None:
    run = await opened(engine)
    await runs.finish(engine, run.id, "refused", "a gate failed", now=NOW)
    again = await runs.finish(engine, run.id, "succeeded", "no", now=NOW + DAY)
    assert (again.state, again.outcome, again.finished_at) == ("refused", "a gate failed", NOW)
    assert [one.id for one in await runs.recent(engine, state="refused")] == [run.id]
    with pytest.raises(BadRequest, match="no retraining run"):
        await runs.approve(engine, uuid4(), "ada", "", now=NOW)


async def test_one_process_works_on_a_run(engine: AsyncEngine) -> None:
    run = await opened(engine)
    async with runs.claim(engine, run.id) as mine:
        async with runs.claim(engine, run.id) as other:
            assert (mine, other) == (True, False)
    async with runs.claim(engine, run.id) as mine:
        assert mine
