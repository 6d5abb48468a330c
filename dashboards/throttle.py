"""May this name be tried again from this address? Failed logins of the last minutes decide.

They stand in Postgres, so that several dashboards count together. A name that nobody has is counted
as any other, so that nothing can be learned from it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.people_tables import login_failures

SPAN = timedelta(minutes=15)
KEPT = timedelta(days=1)
FROM_ONE_ADDRESS = 5
"""Of one name from one address; so a stranger elsewhere cannot lock a person out with a few."""
OF_ONE_NAME = 50
OF_ONE_ADDRESS = 30
NAME_CHARACTERS = 80

_c = login_failures.c


async def held_back(connection: AsyncConnection, name: str, address: str, now: datetime) -> bool:
    """Whether it must wait, whatever the password is."""
    name = name[:NAME_CHARACTERS]
    of_name, of_address = _c.name == name, _c.address == address
    counts = select(
        func.count().filter(and_(of_name, of_address)),
        func.count().filter(of_name),
        func.count().filter(of_address),
    ).where(_c.at > now - SPAN, of_name | of_address)
    both, one_name, one_address = (await connection.execute(counts)).one()
    return both >= FROM_ONE_ADDRESS or one_name >= OF_ONE_NAME or one_address >= OF_ONE_ADDRESS


async def failed(connection: AsyncConnection, name: str, address: str, now: datetime) -> None:
    """Count a failure, and forget what is old."""
    await connection.execute(delete(login_failures).where(_c.at < now - KEPT))
    row = {"name": name[:NAME_CHARACTERS], "address": address, "at": now}
    await connection.execute(insert(login_failures).values(row))


async def succeeded(connection: AsyncConnection, name: str, address: str) -> None:
    """Forget the failures of who got in after all."""
    mine = and_(_c.name == name[:NAME_CHARACTERS], _c.address == address)
    await connection.execute(delete(login_failures).where(mine))
