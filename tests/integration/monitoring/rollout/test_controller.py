"""A rollout goes its way by what the log holds: real rows, real Postgres."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Action, Citation, Failure, Stage, Verdict
from monitoring.rollout import controller, records, watch
from monitoring.rollout.evidence import Evidence
from monitoring.rollout.plan import Plan, Step
from monitoring.rollout.records import Rollout
from tests.factories import make_check, make_exchange, make_reason

T0 = datetime.now(UTC) - timedelta(minutes=5)
PLAN = Plan(steps=(Step(0.1, 60, 20), Step(0.5, 60, 20)))
numbers = itertools.count(1)

BLOCKED: dict[str, Any] = {
    "verdict": Verdict(Action.BLOCK, (make_reason(side=Stage.OUTPUT),)),
}
FLAGGED: dict[str, Any] = {
    "verdict": Verdict(Action.FLAG, (make_reason(side=Stage.OUTPUT, action=Action.FLAG),)),
}
SHADOWED: dict[str, Any] = {
    "verdict": Verdict(Action.ALLOW, (make_reason(side=Stage.OUTPUT, shadow=True),)),
}
FAILED: dict[str, Any] = {
    "failure": Failure("upstream_error", "No.", 502), "upstream": None, "upstream_model": None,
}  # fmt: skip
STEPPED_IN: dict[str, Any] = {"upstream_model": "small@1", "attempts": 2}
SLOW: dict[str, Any] = {"seconds": {"total": 9.0}}
UNGROUNDED: dict[str, Any] = {"citations": (Citation(0, 0, 5, 0.0),)}
TOXIC: dict[str, Any] = {"checks": (make_check(score=0.4, side=Stage.OUTPUT),)}
UNCHECKED: dict[str, Any] = {"checks": ()}
CHECK_FAILED: dict[str, Any] = {"checks": (make_check(side=Stage.OUTPUT, error="busy"),)}


def exchange(version: str, **changes: Any) -> Any:
    label = f"small@{version}"
    values = {
        "model": "small",
        "assigned_model": label,
        "upstream_model": label,
        "conversation": next(numbers),
        "checks": (make_check(side=Stage.OUTPUT),),
        "citations": (Citation(0, 0, 5, 0.9),),
        "seconds": {"total": 1.0},
        "started_at": T0 + timedelta(seconds=1),
    }
    return make_exchange(**{**values, **changes})


async def log(url: str, rows: Iterable[Any]) -> None:
    """Write rows as a proxy does."""
    rows = list(rows)
    writer = ExchangeLog(url, 10_000, mode="memory")
    await writer.start()
    for row in rows:
        assert writer.append(row)
    await writer.stop()


def traffic(candidates: int, champions: int, **changes: Any) -> list[Any]:
    """Both versions mixed; `changes` are the candidate's."""
    rows = []
    for number in range(candidates + champions):
        mine = number * candidates // (candidates + champions)
        next_one = (number + 1) * candidates // (candidates + champions)
        rows.append(exchange("2", **changes) if next_one > mine else exchange("1"))
    return rows


@pytest.fixture
async def rollout(engine: AsyncEngine) -> Rollout:
    return await records.start(
        engine, model="small", champion="small@1", candidate="small@2",
        who="ada", why="w", now=T0, plan=PLAN,
    )  # fmt: skip


async def tick(engine: AsyncEngine, rollout: Rollout, minutes: float = 0.5) -> str | None:
    decision = await controller.tick(engine, rollout.id, T0 + timedelta(minutes=minutes))
    return None if decision is None else decision.kind


async def evidence(engine: AsyncEngine, rollout: Rollout) -> Evidence:
    return msgspec.convert((await records.find(engine, rollout.id)).evidence, Evidence)


async def test_each_step_takes_its_time_and_its_conversations(engine, postgres_url, rollout):
    await log(postgres_url, traffic(19, 80))
    assert await tick(engine, rollout, 2) is None, "one conversation is missing"
    await log(postgres_url, traffic(6, 10))
    assert await tick(engine, rollout, 0.5) is None, "half a minute is missing"
    assert await tick(engine, rollout, 1) == "step"
    assert await tick(engine, rollout, 3) is None, "the second step begins to count"
    await log(postgres_url, traffic(25, 25))
    assert await tick(engine, rollout, 3) == "promoted"
    after = await records.find(engine, rollout.id)
    assert (after.state, after.share) == ("promoted", 1.0)
    shares = [(e.kind, e.share) for e in await records.events(engine, rollout.id)]
    assert shares == [("started", 0.1), ("step", 0.5), ("promoted", 1.0)]


async def test_no_data_holds(engine, postgres_url, rollout):
    assert await tick(engine, rollout, 600) is None
    await log(postgres_url, [exchange("1") for _ in range(300)])
    assert await tick(engine, rollout, 1_200) is None
    assert (await records.find(engine, rollout.id)).share == 0.1


@pytest.mark.parametrize(
    ("changes", "blamed"),
    [
        (FAILED, "error"),
        (STEPPED_IN, "error"),
        ({"abandoned": True}, "error"),
        (BLOCKED, "block"),
        (FLAGGED, "flag"),
        (TOXIC, "toxicity"),
        (UNGROUNDED, "ungrounded"),
        (SLOW, "slow"),
    ],
)
async def test_harm_of_every_kind_rolls_back(engine, postgres_url, rollout, changes, blamed):
    # What is usual of the champion is known first.
    await log(postgres_url, traffic(2, 98))
    assert await tick(engine, rollout) is None
    await log(postgres_url, traffic(40, 60, **changes))
    assert await tick(engine, rollout) == "rolled_back"
    after = await records.find(engine, rollout.id)
    assert (after.state, after.share) == ("rolled_back", 0.0)
    event = (await records.events(engine, rollout.id))[-1]
    assert event.detail["who"] == "rollout controller"
    assert event.detail["why"].startswith(f"{blamed} ")
    figure = event.detail["metrics"][blamed]
    assert figure["candidate"]["hits"] > 30
    assert figure["champion"]["hits"] == 0


@pytest.mark.parametrize("changes", [SHADOWED, {}])
async def test_what_is_no_harm_goes_on(engine, postgres_url, rollout, changes):
    await log(postgres_url, traffic(40, 60, **changes))
    assert await tick(engine, rollout, 2) == "step"


@pytest.mark.parametrize("changes", [UNCHECKED, CHECK_FAILED])
async def test_an_answer_that_was_not_checked_is_not_counted_as_safe(
    engine, postgres_url, rollout, changes
):
    await log(postgres_url, traffic(60, 60, **changes))
    assert await tick(engine, rollout, 600) is None
    seen = await evidence(engine, rollout)
    assert (seen.seen, seen.checked) == (60, 0)


async def test_a_conversation_counts_once_however_long_it_is(engine, postgres_url, rollout):
    rows = [exchange("2", **BLOCKED, conversation=7) for _ in range(200)]
    await log(postgres_url, rows + [exchange("1") for _ in range(200)])
    assert await tick(engine, rollout) is None
    await log(postgres_url, [exchange("2", **BLOCKED, conversation=7) for _ in range(200)])
    assert await tick(engine, rollout) is None
    assert (await evidence(engine, rollout)).seen == 1


async def test_every_row_is_read_once_also_one_that_commits_late(engine, postgres_url, rollout):
    await log(postgres_url, traffic(10, 10))
    await tick(engine, rollout)
    async with engine.connect() as late:
        await late.begin()
        # This transaction has its number before those of the rows that are read first.
        await late.execute(text("SELECT pg_current_xact_id()"))
        await late.execute(
            text(
                "INSERT INTO exchanges SELECT (jsonb_populate_record(e, jsonb_build_object("
                "'id', gen_random_uuid(), 'conversation', 99999,"
                " 'xact', pg_current_xact_id()::text))).*"
                " FROM exchanges AS e WHERE assigned_model = 'small@2' LIMIT 1"
            )
        )
        await log(postgres_url, traffic(5, 5))
        await tick(engine, rollout)
        assert (await evidence(engine, rollout)).seen == 15
        await late.commit()
    await tick(engine, rollout)
    await tick(engine, rollout)
    assert (await evidence(engine, rollout)).seen == 16


async def test_rows_that_are_no_part_of_the_rollout_are_left_out(engine, postgres_url, rollout):
    rows = [
        exchange("2", assigned_model=None),
        exchange("2", model="other", assigned_model="other@2"),
        exchange("2", started_at=T0 - timedelta(minutes=1)),
        exchange("2", conversation=None),
        # Withheld before it reached a model.
        exchange("2", upstream=None, upstream_model=None),
    ]
    await log(postgres_url, rows)
    await tick(engine, rollout)
    assert (await evidence(engine, rollout)).seen == 0


async def test_a_paused_rollout_keeps_its_share_and_is_still_rolled_back(
    engine, postgres_url, rollout
):
    await records.pause(engine, rollout.id, who="ada", why="w", now=T0)
    await log(postgres_url, traffic(40, 60))
    assert await tick(engine, rollout, 600) is None
    await log(postgres_url, traffic(40, 60, **BLOCKED))
    assert await tick(engine, rollout, 600) == "rolled_back"


async def test_what_reviewers_say_counts(engine, postgres_url, rollout):
    rows = traffic(40, 60)
    await log(postgres_url, rows)
    await tick(engine, rollout)
    add = text(
        """
        WITH item AS (
            INSERT INTO review_items (id, exchange_id, exchange_started_at, side, why)
            SELECT gen_random_uuid(), e.id, e.started_at, 'output', 'random' FROM exchanges AS e
            RETURNING id, exchange_id
        )
        INSERT INTO review_labels (id, item_id, reviewer, harmful, labels)
        SELECT gen_random_uuid(), item.id, 'eve', e.assigned_model = 'small@2', '{}'
        FROM item JOIN exchanges AS e ON e.id = item.exchange_id
        """
    )
    async with engine.begin() as connection:
        await connection.execute(add)
    assert await tick(engine, rollout) == "rolled_back"
    event = (await records.events(engine, rollout.id))[-1]
    assert event.detail["why"].startswith("feedback 40 of 40 against 0 of 60")


async def test_a_change_by_hand_at_the_same_moment_wins(engine, postgres_url, rollout):
    by = {"who": "ada", "why": "w", "now": T0}
    await log(postgres_url, traffic(40, 60))
    await asyncio.gather(
        controller.tick(engine, rollout.id, T0 + timedelta(minutes=2)),
        records.roll_back(engine, rollout.id, **by),
        return_exceptions=True,
    )
    await watch.look(engine, lambda: T0 + timedelta(minutes=4))
    assert (await records.find(engine, rollout.id)).state == "rolled_back"


async def test_one_of_two_watchers_leads_and_the_other_goes_on_when_it_is_gone(
    engine, postgres_url, rollout
):
    first, second = asyncio.Event(), asyncio.Event()
    now = [T0]
    options: dict[str, Any] = {"now": lambda: now[0], "every_seconds": 0.05}
    one = asyncio.create_task(watch.serve(engine, first, **options))
    await log(postgres_url, traffic(40, 60))
    two = asyncio.create_task(watch.serve(engine, second, **options))
    async with asyncio.timeout(10):
        while not (await evidence(engine, rollout)).seen:
            await asyncio.sleep(0.05)
    first.set()
    await one
    now[0] = T0 + timedelta(minutes=2)
    async with asyncio.timeout(10):
        while (await records.find(engine, rollout.id)).step == 0:
            await asyncio.sleep(0.05)
    second.set()
    await two
    assert (await records.find(engine, rollout.id)).share == 0.5
