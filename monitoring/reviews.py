"""What do people say of sampled exchanges? Items to review, who has which, and their labels.

An item is one side of an exchange. Two reviewers see each (`WANTED`); what one has labelled never
comes to him again. A page that shows an item holds a lease of it, so that no third one works on it
in vain; the lease of who walks away ends by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy import Select, and_, case, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log.people_tables import review_items, review_labels, review_leases
from guardrails.exchange_log.tables import exchanges
from monitoring.types import Window

WANTED = 2
"""How many people judge an item."""
LEASE = timedelta(minutes=10)

LABELS = (
    "toxicity",
    "identity_attack",
    "prompt_injection",
    "harmful_request",
    "personal_data",
    "ungrounded",
    "other",
)
"""What a reviewer may call a harm."""

Side = Literal["input", "output"]
Why = Literal["random", "uncertain", "appeal", "alert"]

_item, _label, _lease = review_items.c, review_labels.c, review_leases.c
_HERE = and_(
    exchanges.c.id == _item.exchange_id, exchanges.c.started_at == _item.exchange_started_at
)


class Item(Struct, frozen=True, kw_only=True):
    """One side of an exchange that people should judge.

    `probability` is that of being sampled, in (0, 1], where chance decided: an estimate weighs each
    label by its inverse. It is None for what was chosen.
    """

    exchange_id: UUID
    exchange_started_at: datetime
    side: Side
    why: Why
    sampled_at: datetime
    probability: float | None = None
    stratum: str | None = None
    window: Window | None = None
    evidence: Mapping[str, Any] = {}
    id: UUID = msgspec.field(default_factory=uuid4)


class Label(Struct, frozen=True):
    """What one person said. `harmful` None: cannot tell."""

    reviewer: str
    harmful: bool | None
    labels: tuple[str, ...]
    note: str | None
    made_at: datetime


class Labelled(Struct, frozen=True):
    """An item and all that was said of it, oldest first."""

    item: Item
    labels: tuple[Label, ...]


class Progress(Struct, frozen=True):
    """Where a reviewer stands: `done` since midnight (UTC), `left` for this reviewer."""

    done: int
    left: int
    appeals: int


async def add_items(engine: AsyncEngine, items: Sequence[Item]) -> int:
    """How many were new; one that is in the queue for the same reason is left as it is."""
    if not items:
        return 0
    rows = [_row_of(item) for item in items]
    statement = insert(review_items).on_conflict_do_nothing(
        index_elements=["exchange_id", "side", "why"]
    )
    async with engine.begin() as connection:
        added = await connection.execute(statement.values(rows).returning(_item.id))
        return len(added.all())


async def next_item(
    engine: AsyncEngine, reviewer: str, now: datetime, *, tenants: Sequence[str] | None = None
) -> Item | None:
    """The next one for this reviewer, leased to him; None where nothing is left.

    Appeals come first, then what an alert asks about, then the samples. The one that he has a lease
    of is given again. Several who ask at once get different items.
    """
    mine = exists().where(
        _lease.item_id == _item.id, _lease.reviewer == reviewer, _lease.until > now
    )
    statement = (
        _open(reviewer, now, tenants)
        .order_by(mine.desc(), _urgency(), _item.sampled_at, _item.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=review_items)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        leased = insert(review_leases).values(item_id=row.id, reviewer=reviewer, until=now + LEASE)
        await connection.execute(
            leased.on_conflict_do_update(
                index_elements=["item_id", "reviewer"], set_={"until": leased.excluded.until}
            )
        )
        await connection.execute(delete(review_leases).where(_lease.until <= now))
    return _item_of(row)


async def find(
    engine: AsyncEngine, item_id: UUID, *, tenants: Sequence[str] | None = None
) -> Labelled | None:
    """One item with its labels; None where there is none that this reader may see."""
    statement = select(review_items).join(exchanges, _HERE).where(_item.id == item_id)
    async with engine.connect() as connection:
        row = (await connection.execute(_within(statement, tenants))).one_or_none()
        if row is None:
            return None
        labels = await _labels_of(connection, [row.id])
    return Labelled(_item_of(row), labels.get(row.id, ()))


async def label(
    engine: AsyncEngine,
    item_id: UUID,
    reviewer: str,
    *,
    harmful: bool | None,
    labels: Sequence[str] = (),
    note: str | None = None,
    now: datetime,
) -> None:
    """Say something of an item, or something else than before. Errors: ValueError."""
    if unknown := set(labels) - set(LABELS):
        raise ValueError(f"no label of a reviewer: {', '.join(sorted(unknown))}")
    said = insert(review_labels).values(
        item_id=item_id,
        reviewer=reviewer,
        harmful=harmful,
        labels=list(dict.fromkeys(labels)),
        note=note,
        made_at=now,
    )
    said = said.on_conflict_do_update(
        index_elements=["item_id", "reviewer"],
        set_={name: said.excluded[name] for name in ("harmful", "labels", "note", "made_at")},
    )
    async with engine.begin() as connection:
        await connection.execute(said)
        await connection.execute(
            delete(review_leases).where(_lease.item_id == item_id, _lease.reviewer == reviewer)
        )


async def take_back(engine: AsyncEngine, reviewer: str, now: datetime) -> UUID | None:
    """Forget this reviewer's last label and lease its item to him again; None where there is none.

    Limits: of the last day only; what is older was used by then.
    """
    last = (
        select(_label.id)
        .where(_label.reviewer == reviewer, _label.made_at > now - timedelta(days=1))
        .order_by(_label.made_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    async with engine.begin() as connection:
        gone = delete(review_labels).where(_label.id == last).returning(_label.item_id)
        item_id = (await connection.execute(gone)).scalar_one_or_none()
        if item_id is None:
            return None
        # Whatever else he had on his table goes back to the others.
        await connection.execute(delete(review_leases).where(_lease.reviewer == reviewer))
        await connection.execute(
            insert(review_leases).values(item_id=item_id, reviewer=reviewer, until=now + LEASE)
        )
    return item_id


async def progress(
    engine: AsyncEngine, reviewer: str, now: datetime, *, tenants: Sequence[str] | None = None
) -> Progress:
    """How much this reviewer has done today, and what is left for him."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    done = select(func.count()).where(_label.reviewer == reviewer, _label.made_at >= today)
    waiting = _open(reviewer, now, tenants).subquery()
    left = select(func.count(), func.count().filter(waiting.c.why == "appeal")).select_from(waiting)
    async with engine.connect() as connection:
        finished = (await connection.execute(done)).scalar_one()
        counts = (await connection.execute(left)).one()
    return Progress(finished, *counts)


async def labelled(
    engine: AsyncEngine,
    window: Window,
    *,
    why: Why | None = None,
    tenants: Sequence[str] | None = None,
) -> list[Labelled]:
    """What has a label, of exchanges that began in the window, oldest first."""
    said = exists().where(_label.item_id == _item.id)
    return await _found(engine, _of(window, why, tenants).where(said))


async def sampled(
    engine: AsyncEngine,
    window: Window,
    *,
    why: Why | None = None,
    tenants: Sequence[str] | None = None,
) -> list[Labelled]:
    """All that was put into the queue, labelled or not: an estimate must know what is missing.

    A label outlives its exchange; for one tenant's those are left out, for nobody knows whose they
    were.
    """
    return await _found(engine, _of(window, why, tenants))


async def of_exchange(engine: AsyncEngine, exchange_id: UUID) -> list[Labelled]:
    """Every item of one exchange, with its labels."""
    return await _found(engine, select(review_items).where(_item.exchange_id == exchange_id))


def _of(window: Window, why: Why | None, tenants: Sequence[str] | None) -> Select[Any]:
    statement = select(review_items).where(
        _item.exchange_started_at >= window.start, _item.exchange_started_at < window.end
    )
    if why is not None:
        statement = statement.where(_item.why == why)
    return statement if tenants is None else _within(statement.join(exchanges, _HERE), tenants)


async def _found(engine: AsyncEngine, statement: Select[Any]) -> list[Labelled]:
    """Items with their labels, oldest exchange first."""
    ordered = statement.order_by(_item.exchange_started_at, _item.id)
    async with engine.connect() as connection:
        rows = (await connection.execute(ordered)).all()
        labels = await _labels_of(connection, [row.id for row in rows])
    return [Labelled(_item_of(row), labels.get(row.id, ())) for row in rows]


def _open(reviewer: str, now: datetime, tenants: Sequence[str] | None) -> Select[Any]:
    """What this reviewer may take: readable still, not his already, and short of a label."""
    said = select(func.count()).where(_label.item_id == _item.id).scalar_subquery()
    others = (
        select(func.count())
        .where(_lease.item_id == _item.id, _lease.reviewer != reviewer, _lease.until > now)
        .scalar_subquery()
    )
    his = exists().where(_label.item_id == _item.id, _label.reviewer == reviewer)
    statement = (
        select(review_items)
        .join(exchanges, _HERE)
        .where(exchanges.c.erased_at.is_(None), ~his, said + others < WANTED)
    )
    return _within(statement, tenants)


def _within(statement: Select[Any], tenants: Sequence[str] | None) -> Select[Any]:
    if tenants is None:
        return statement
    return statement.where(exchanges.c.tenant.in_(tenants))


def _urgency() -> Any:
    return case((_item.why == "appeal", 0), (_item.why == "alert", 1), else_=2)


async def _labels_of(
    connection: AsyncConnection, ids: Sequence[UUID]
) -> dict[UUID, tuple[Label, ...]]:
    found: dict[UUID, tuple[Label, ...]] = {}
    statement = select(review_labels).where(_label.item_id.in_(ids)).order_by(_label.made_at)
    for row in await connection.execute(statement) if ids else ():
        said = Label(row.reviewer, row.harmful, tuple(row.labels), row.note, row.made_at)
        found[row.item_id] = (*found.get(row.item_id, ()), said)
    return found


def _row_of(item: Item) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in item.__struct_fields__ if name != "window"}
    window = item.window
    return {
        **row,
        "evidence": msgspec.to_builtins(item.evidence),
        "window_start": None if window is None else window.start,
        "window_end": None if window is None else window.end,
    }


def _item_of(row: Any) -> Item:
    spans = row.window_start is not None and row.window_end is not None
    return Item(
        id=row.id,
        exchange_id=row.exchange_id,
        exchange_started_at=row.exchange_started_at,
        side=row.side,
        why=row.why,
        sampled_at=row.sampled_at,
        probability=row.probability,
        stratum=row.stratum,
        window=Window(row.window_start, row.window_end) if spans else None,
        evidence=row.evidence,
    )
