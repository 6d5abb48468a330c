"""What people have done in a seeded installation: reviews, users, keys, documents, an audit log."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import insert

from dashboards import audit, users
from guardrails.database import make_engine
from guardrails.database.url import libpq_url
from guardrails.exchange_log.tables import documents, passages
from guardrails.keys import create_key
from monitoring import reviews
from monitoring.jobs import review_sample
from monitoring.reviews import Item
from monitoring.types import Window

UPSTREAMS = [
    {"name": "gpu-1", "model": "assistant-large", "breaker": "closed"},
    {"name": "gpu-2", "model": "assistant-small", "breaker": "open"},
]
LOG = {"queued": 3, "lag_seconds": 0.2, "spool_bytes": 18_432, "dropped": 0, "lost": 0,
       "trouble": None}  # fmt: skip


async def furnish(url: str, now: datetime, *, people: bool = False) -> None:
    """Fill what people fill; with `people` there are users, so that everybody must log in."""
    engine = make_engine(url)
    span = Window(now - timedelta(hours=23), now)
    found = await review_sample.sample(engine, span, now=now)
    await reviews.add_items(engine, found.items)
    for number, item in enumerate(found.items[:12]):
        for who in ("ada", "grace")[: 1 + number % 2]:
            harmful = item.stratum == "blocked" or (number == 3 and who == "ada")
            await reviews.label(engine, item.id, who, harmful=harmful, now=now)
    await reviews.add_items(engine, [await _appeal(url, now)])
    async with engine.begin() as connection:
        if people:
            await users.create(connection, name="ada", role="admin", now=now)
            await users.create(connection, name="grace", role="reviewer", tenants=["acme"], now=now)
        for action, target in (("key.create", "shop"), ("review.label", "an item")):
            await audit.record(connection, "ada", action, target, {"scopes": ["infer"]})
        made = await connection.execute(
            insert(documents)
            .values(collection="default", title="Returns and refunds", source="returns.md",
                    sha256="0" * 64, media_type="text/markdown")
            .returning(documents.c.id)
        )  # fmt: skip
        await connection.execute(
            insert(passages).values(
                document_id=made.scalar_one(),
                collection="default",
                number=0,
                start_offset=0,
                end_offset=52,
                text="A stair rail may be sent back within fourteen days.",
                embedding=[0.05] * 384,
            )
        )
    await create_key(url, b"s" * 40, name="shop", tenant="acme", now=now)
    await _beat(url, now)
    await engine.dispose()


async def _appeal(url: str, now: datetime) -> Item:
    """An appeal against the newest block."""
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        found = await connection.execute(
            "SELECT id, started_at FROM exchanges WHERE decision = 'block'"
            " ORDER BY started_at DESC LIMIT 1"
        )
        row = await found.fetchone()
    assert row is not None
    return Item(
        exchange_id=UUID(str(row[0])),
        exchange_started_at=row[1],
        side="input",
        why="appeal",
        sampled_at=now,
        evidence={"reason": "I only asked how the page is built.", "lodged_by": "9f31c2a0b7d4"},
    )


async def _beat(url: str, now: datetime) -> None:
    status = {
        "ready": True,
        "detectors": "warm",
        "policy": "default@0123456789ab",
        "policy_error": None,
        "upstreams": UPSTREAMS,
        "log": LOG,
        "in_flight": 7,
    }
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        # The first is of some time to come, so that a slow test does not find it silent.
        for name, ago in (("proxy-a 4711", -600), ("proxy-b 4712", 400)):
            await connection.execute(
                "INSERT INTO heartbeats (id, kind, name, started_at, seen_at, status)"
                " VALUES (gen_random_uuid(), 'proxy', %s, %s, %s, %s)",
                (name, now - timedelta(days=2), now - timedelta(seconds=ago), Jsonb(status)),
            )
