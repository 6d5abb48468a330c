"""Which searches does a person come back to? Saved views: a name for an address of ours."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.errors import BadRequest
from guardrails.exchange_log.people_tables import saved_views

MOST = 30
NAME_CHARACTERS = 40
ADDRESS_CHARACTERS = 1_500

_c = saved_views.c


class SavedView(Struct, frozen=True):
    """A name and where it leads."""

    id: UUID
    name: str
    address: str


async def of(connection: AsyncConnection, owner: str) -> list[SavedView]:
    """A person's views, by name."""
    query = select(_c.id, _c.name, _c.address).where(_c.owner == owner).order_by(_c.name)
    return [SavedView(*row) for row in await connection.execute(query)]


async def save(
    connection: AsyncConnection, owner: str, name: str, address: str, now: datetime
) -> None:
    """Keep an address under a name, in the place of an older one of that name.

    Errors: BadRequest for a name or address that cannot be kept, and for more than MOST.
    """
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise BadRequest(f"A view's name has 1 to {NAME_CHARACTERS} characters.", param="name")
    inside = address == "/exchanges" or address.startswith("/exchanges?")
    if not inside or not address.isprintable() or len(address) > ADDRESS_CHARACTERS:
        raise BadRequest("Only a view of the exchanges can be kept.", param="address")
    count = select(func.count()).where(_c.owner == owner, _c.name != name)
    if (await connection.execute(count)).scalar_one() >= MOST:
        raise BadRequest(f"{MOST} views are the most; take one away first.", param="name")
    kept = insert(saved_views).values(owner=owner, name=name, address=address, made_at=now)
    await connection.execute(
        kept.on_conflict_do_update(
            index_elements=["owner", "name"], set_={"address": kept.excluded.address}
        )
    )


async def remove(connection: AsyncConnection, owner: str, view_id: UUID) -> None:
    """Take one of a person's own views away."""
    await connection.execute(delete(saved_views).where(_c.id == view_id, _c.owner == owner))
