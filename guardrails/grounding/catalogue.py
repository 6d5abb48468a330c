"""What lies in the knowledge base? Collections, their documents, and a document's passages."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.tables import documents, passages

_d, _p = documents.c, passages.c


class Listed(Struct, frozen=True):
    """A document, and how many passages it was cut into."""

    id: UUID
    collection: str
    title: str
    source: str
    media_type: str
    created_at: datetime
    passages: int


class Cut(Struct, frozen=True):
    """One passage of a document, in order; offsets are into the document's text."""

    number: int
    start_offset: int
    end_offset: int
    text: str


async def collections(connection: AsyncConnection) -> dict[str, int]:
    """How many documents each collection has, by name."""
    query = select(_d.collection, func.count()).group_by(_d.collection).order_by(_d.collection)
    rows = await connection.execute(query)
    return {name: count for name, count in rows}


async def listed(
    connection: AsyncConnection, *, collection: str | None = None, limit: int = 200
) -> list[Listed]:
    """The documents that were taken in last."""
    cut = select(func.count()).where(_p.document_id == _d.id).scalar_subquery()
    names = [_d[name] for name in Listed.__struct_fields__[:-1]]
    query = select(*names, cut.label("passages")).order_by(_d.created_at.desc(), _d.id)
    if collection is not None:
        query = query.where(_d.collection == collection)
    return [Listed(**row._mapping) for row in await connection.execute(query.limit(limit))]


async def document(
    connection: AsyncConnection, document_id: UUID, *, limit: int = 100
) -> tuple[Listed, list[Cut]] | None:
    """A document with its first passages; None where there is none."""
    cut = select(func.count()).where(_p.document_id == _d.id).scalar_subquery()
    names = [_d[name] for name in Listed.__struct_fields__[:-1]]
    found = select(*names, cut.label("passages")).where(_d.id == document_id)
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return None
    pieces = select(*(_p[name] for name in Cut.__struct_fields__)).where(
        _p.document_id == document_id
    )
    rows = await connection.execute(pieces.order_by(_p.number).limit(limit))
    return Listed(**row._mapping), [Cut(**piece._mapping) for piece in rows]


async def remove(connection: AsyncConnection, document_id: UUID) -> str | None:
    """Take a document and its passages away; its source, or None where there was none."""
    gone = delete(documents).where(_d.id == document_id).returning(_d.source)
    return (await connection.execute(gone)).scalar_one_or_none()
