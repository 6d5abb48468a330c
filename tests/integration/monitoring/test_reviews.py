"""The review queue on a real Postgres."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Caller
from monitoring import reviews
from monitoring.reviews import Item
from monitoring.types import Window
from tests.factories import make_exchange

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = Window(NOW - timedelta(days=1), NOW)


async def queue(url: str, engine: AsyncEngine, n: int = 3, **changes: object) -> list[Item]:
    log = ExchangeLog(url, 1_000)
    await log.start()
    items = []
    for number in range(n):
        tenant = str(changes.get("tenant", "default"))
        at = NOW - timedelta(minutes=n - number)
        exchange = make_exchange(started_at=at, caller=Caller("k", tenant))
        log.append(exchange)
        items.append(
            Item(
                exchange_id=UUID(exchange.id),
                exchange_started_at=at,
                side="input",
                why=changes.get("why", "random"),
                sampled_at=NOW - timedelta(seconds=n - number),
                probability=0.25,
                stratum="plain",
                window=DAY,
            )
        )
    await log.stop()
    assert await reviews.add_items(engine, items) == n
    return items


async def say(engine: AsyncEngine, item: Item, who: str, harmful: bool | None = True, **more):
    await reviews.label(engine, item.id, who, harmful=harmful, now=more.pop("now", NOW), **more)


async def test_an_item_is_added_once_and_read_back_whole(postgres_url: str, engine: AsyncEngine):
    items = await queue(postgres_url, engine)
    assert await reviews.add_items(engine, items) == 0
    assert await reviews.add_items(engine, []) == 0
    found = await reviews.sampled(engine, DAY)
    assert [one.item for one in found] == items
    assert await reviews.labelled(engine, DAY) == []


async def test_appeals_come_first_and_then_the_oldest(postgres_url: str, engine: AsyncEngine):
    samples = await queue(postgres_url, engine, 2)
    appeals = await queue(postgres_url, engine, 1, why="appeal")
    order = []
    while (item := await reviews.next_item(engine, "ada", NOW)) is not None:
        order.append(item)
        await say(engine, item, "ada")
    assert order == [*appeals, *samples]


async def test_a_reviewer_sees_the_same_item_until_it_is_labelled_and_never_after(
    postgres_url: str, engine: AsyncEngine
):
    first, _ = await queue(postgres_url, engine, 2)
    assert await reviews.next_item(engine, "ada", NOW) == first
    assert await reviews.next_item(engine, "ada", NOW) == first
    await say(engine, first, "ada")
    for _ in range(3):
        assert await reviews.next_item(engine, "ada", NOW) != first


async def test_two_reviewers_see_an_item_and_no_third(postgres_url: str, engine: AsyncEngine):
    (item,) = await queue(postgres_url, engine, 1)
    assert await reviews.next_item(engine, "ada", NOW) == item
    assert await reviews.next_item(engine, "bob", NOW) == item
    assert await reviews.next_item(engine, "eve", NOW) is None
    later = NOW + reviews.LEASE + timedelta(seconds=1)
    assert await reviews.next_item(engine, "eve", later) == item
    await say(engine, item, "ada")
    await say(engine, item, "bob", harmful=False)
    assert await reviews.next_item(engine, "eve", later + reviews.LEASE) is None


async def test_many_who_ask_at_once_never_work_on_an_item_in_vain(
    postgres_url: str, engine: AsyncEngine
):
    await queue(postgres_url, engine, 4)
    names = [f"reviewer-{n}" for n in range(8)]
    found = await asyncio.gather(*(reviews.next_item(engine, name, NOW) for name in names))
    taken = [item.id for item in found if item is not None]
    assert max(taken.count(one) for one in taken) <= reviews.WANTED


async def test_a_label_can_be_said_anew_and_taken_back(postgres_url: str, engine: AsyncEngine):
    item, _ = await queue(postgres_url, engine, 2)
    await say(engine, item, "ada", labels=["toxicity", "toxicity"], note="so")
    await say(engine, item, "ada", harmful=None, now=NOW + timedelta(seconds=1))
    (only,) = await reviews.labelled(engine, DAY)
    assert [(one.harmful, one.labels, one.note) for one in only.labels] == [(None, (), None)]
    assert await reviews.take_back(engine, "ada", NOW + timedelta(minutes=1)) == item.id
    assert await reviews.take_back(engine, "ada", NOW) is None
    assert await reviews.labelled(engine, DAY) == []
    assert await reviews.next_item(engine, "ada", NOW) == item


async def test_an_unknown_label_is_refused(engine: AsyncEngine):
    with pytest.raises(ValueError, match="rude"):
        await reviews.label(engine, UUID(int=1), "ada", harmful=True, labels=["rude"], now=NOW)


async def test_a_reviewer_of_one_tenant_gets_only_its_items(postgres_url: str, engine: AsyncEngine):
    (acme,) = await queue(postgres_url, engine, 1, tenant="acme")
    await queue(postgres_url, engine, 2, tenant="other")
    assert await reviews.next_item(engine, "ada", NOW, tenants=["acme"]) == acme
    assert (await reviews.progress(engine, "ada", NOW, tenants=["acme"])).left == 1
    assert await reviews.next_item(engine, "bob", NOW, tenants=[]) is None
    assert [o.item for o in await reviews.sampled(engine, DAY, tenants=["acme"])] == [acme]
    found = await reviews.find(engine, acme.id, tenants=["acme"])
    assert found is not None and found.item == acme
    assert await reviews.find(engine, acme.id, tenants=["other"]) is None


async def test_progress_counts_today_and_what_is_left(postgres_url: str, engine: AsyncEngine):
    items = await queue(postgres_url, engine, 3)
    await queue(postgres_url, engine, 1, why="appeal")
    await say(engine, items[0], "ada")
    await say(engine, items[1], "ada", now=NOW - timedelta(days=1))
    assert await reviews.progress(engine, "ada", NOW) == reviews.Progress(1, 2, 1)
