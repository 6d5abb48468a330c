"""Which exchanges are about the same as this one, or as this text? By the vectors of their prompts.

Not every exchange has a vector (`embeddings.py`): `coverage` says how many of how many do, and a
page that shows neighbours shows that too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, bindparam, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.errors import BadRequest
from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.embeddings import Embed, is_shown, written
from guardrails.exchange_log.filters import Filter
from guardrails.exchange_log.moments import CLOCKS_APART, moment_of
from guardrails.exchange_log.query import get
from guardrails.exchange_log.rows import ExchangeDetail, ExchangeRow, row_of, statement
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.upkeep_tables import exchange_embeddings, exchange_hours

MOST = 100
LOOKED_AT = 8
"""Where a filter narrows, so many times more of the nearest are looked at than are wanted."""
# The index gives its nearest one by one, and goes on while filters drop them.
_SEARCH = text(
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),"
    " set_config('hnsw.ef_search', '100', true)"
)
_v = exchange_embeddings.c


class Neighbour(Struct, frozen=True):
    """An exchange, and the cosine of the angle between its prompt and what was asked for."""

    row: ExchangeRow
    similarity: float


class Coverage(Struct, frozen=True):
    """How many of the counted exchanges of a span have a vector; the rest cannot be found."""

    embedded: int
    exchanges: int


class NotEmbedded(BadRequest):
    """The exchange has no vector, and none can be made here: no worker, or no text to read."""


async def similar(
    connection: AsyncConnection,
    to: UUID | str,
    limit: int = 20,
    *,
    embed: Embed | None = None,
    decision: str | None = None,
    route: str | None = None,
    tenant: str | None = None,
    model: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    tenants: Sequence[str] | None = None,
    cipher: Cipher | None = None,
) -> list[Neighbour]:
    """The nearest exchanges to an exchange (by its id) or to a text, the nearest first.

    Where there is no vector of it yet, `embed` makes one (30 to 40 ms of a core); without `embed`,
    or where the text was not recorded: NotEmbedded. `tenants` are those whose exchanges may be seen
    at all; that `to` is among them is the caller's to know. Limits: HNSW finds nearly all of the
    nearest, not surely all. Cost: about 1 ms for each day that has vectors, and several times that
    for a filter that few of the nearest meet.
    """
    vector = await _vector_of(connection, to, embed)
    wanted = Filter(decision, route, model, tenant, tenants, None, since, until)
    limit = max(0, min(limit, MOST))
    near = _Near(cast(bindparam("vector", vector), _v.embedding.type), to, since, until)
    await connection.execute(_SEARCH)
    rows = list(await connection.execute(_among_nearest(near, wanted, limit, cipher)))
    if len(rows) < limit:
        # What is asked for is rarer than one in LOOKED_AT of those around.
        rows = list(await connection.execute(_filtered(near, wanted, limit, cipher)))
    return [Neighbour(row_of(row, cipher), 1.0 - row.distance) for row in rows]


class _Near(Struct, frozen=True):
    """Where is looked: around a vector, in a span, and not at the exchange itself."""

    vector: ColumnElement[Any]
    to: UUID | str
    since: datetime | None
    until: datetime | None

    @property
    def distance(self) -> ColumnElement[float]:
        found: ColumnElement[float] = _v.embedding.cosine_distance(self.vector)
        return found

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if isinstance(self.to, UUID):
            found.append(_v.id != self.to)
        if self.since is not None:
            found.append(_v.started_at >= self.since)
        if self.until is not None:
            found.append(_v.started_at < self.until)
        return found


def _among_nearest(near: _Near, wanted: Filter, limit: int, cipher: Cipher | None) -> Select[Any]:
    """Those that meet the filter among the nearest of all, whose keys the index gives first.

    In one step Postgres takes the pairs of both tables for few, and reads each vector to sort them.
    """
    narrowed = wanted != Filter(since=wanted.since, until=wanted.until)
    keys = (
        select(_v.started_at, _v.id, near.distance.label("distance"))
        .where(*near.conditions())
        .order_by(near.distance)
        .limit(limit * LOOKED_AT if narrowed else limit)
        .cte("nearest")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    here = (exchanges.c.id == keys.c.id) & (exchanges.c.started_at == keys.c.started_at)
    return (
        statement(cipher)
        .add_columns(keys.c.distance)
        .join(keys, here)
        .where(*wanted.of_rows())
        .order_by(keys.c.distance)
        .limit(limit)
    )


def _filtered(near: _Near, wanted: Filter, limit: int, cipher: Cipher | None) -> Select[Any]:
    """The nearest of those that meet the filter, however far they are."""
    here = (exchanges.c.id == _v.id) & (exchanges.c.started_at == _v.started_at)
    return (
        statement(cipher)
        .add_columns(near.distance.label("distance"))
        .select_from(exchange_embeddings)
        .join(exchanges, here)
        .where(*wanted.of_rows(), *near.conditions())
        .order_by(near.distance)
        .limit(limit)
    )


async def coverage(
    connection: AsyncConnection, since: datetime | None = None, until: datetime | None = None
) -> Coverage:
    """What of a span can be found at all. Limits: exchanges are those counted, by whole hours."""
    counted, made = exchange_hours.c, _v.started_at
    spans: list[ColumnElement[bool]] = []
    own: list[ColumnElement[bool]] = []
    if since is not None:
        spans.append(counted.start >= since)
        own.append(made >= since)
    if until is not None:
        spans.append(counted.start < until)
        own.append(made < until)
    total = select(func.coalesce(func.sum(counted.exchanges), 0)).where(*spans)
    embedded = select(func.count()).select_from(exchange_embeddings).where(*own)
    row = (
        await connection.execute(select(embedded.scalar_subquery(), total.scalar_subquery()))
    ).one()
    return Coverage(int(row[0]), int(row[1]))


async def _vector_of(connection: AsyncConnection, to: UUID | str, embed: Embed | None) -> str:
    if isinstance(to, str):
        prompt: str | None = to
    else:
        found = select(_v.embedding).where(_v.id == to)
        moment = moment_of(to)
        if moment is not None:
            found = found.where(
                _v.started_at >= moment - CLOCKS_APART, _v.started_at <= moment + CLOCKS_APART
            )
        vector: Any = (await connection.execute(found)).scalar()
        if vector is not None:
            return written(vector)
        detail = await get(connection, to)
        prompt = None if detail is None else _prompt(detail)
    if embed is None or not is_shown(prompt):
        raise NotEmbedded("There is no vector of that exchange.", param="id")
    [made] = await embed([str(prompt)])
    return written(made)


def _prompt(detail: ExchangeDetail) -> str | None:
    said: Sequence[str] = [
        segment["text"] for segment in detail.inputs if segment.get("role") == "user"
    ]
    return said[-1] if said else None
