"""Labels of people in real tables, and what is taken of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.types import Action, Stage, Verdict
from monitoring import reviews
from monitoring.jobs import load
from monitoring.jobs.human_drift import Judgement, judgements
from monitoring.run import run
from monitoring.types import Status, Window
from tests.factories import make_blocked, make_exchange, make_reason
from tests.integration.monitoring.traffic import fill, now

DAY = timedelta(days=1)
START = datetime(2026, 11, 23, tzinfo=UTC)
LATER = START + 2 * DAY


def item(exchange, why: reviews.Why = "random", side: reviews.Side = "input") -> reviews.Item:
    return reviews.Item(
        exchange_id=UUID(exchange.id),
        exchange_started_at=exchange.started_at,
        side=side,
        why=why,
        sampled_at=exchange.started_at,
    )


async def test_only_first_labels_of_what_was_blocked_and_drawn_by_chance_count(
    postgres_url: str, engine: AsyncEngine
):
    shadow = make_reason(label="shadowed", shadow=True)
    other_side = make_reason(label="spoken", side=Stage.OUTPUT)
    blocked = make_blocked(
        started_at=START, verdict=Verdict(Action.BLOCK, (make_reason(), shadow, other_side))
    )
    appealed, unsure = make_blocked(started_at=START), make_blocked(started_at=START)
    passed = make_exchange(started_at=START)
    await fill(postgres_url, [blocked, appealed, unsure, passed])
    items = [item(blocked), item(appealed, "appeal"), item(unsure), item(passed)]
    await reviews.add_items(engine, items)
    for one, harmful in zip(items, (False, False, None, False), strict=True):
        await reviews.label(engine, one.id, "maria", harmful=harmful, now=LATER)
    await reviews.label(engine, items[0].id, "otto", harmful=True, now=LATER + timedelta(hours=1))
    assert await judgements(engine, Window(LATER, LATER + DAY)) == [
        Judgement(LATER, True, ("toxicity/insult",))
    ]
    # An item's second label, on a later day, is no second bet.
    assert await judgements(engine, Window(LATER + timedelta(minutes=1), LATER + DAY)) == []


async def test_without_labels_there_is_no_reference_and_no_data(engine: AsyncEngine):
    done = await run(load("human_drift"), Window(START, START + DAY), engine, now=now)
    assert done is not None
    assert done.status is Status.NO_DATA
    assert "no reference yet" in done.outcome.message
