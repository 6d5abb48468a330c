"""Which routes, models and tenants had traffic lately? For a page that lets one choose among them.

A table of counts has few names and very many rows, so the rows are not read: an index is asked for
the first name, then for the next one after it, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.upkeep_tables import exchange_counts

HOUR = 3_600
_k = exchange_counts.c
_NEXT = """
WITH RECURSIVE found AS (
    (SELECT {name} FROM exchange_counts WHERE step = 3600 ORDER BY {name} LIMIT 1)
    UNION ALL
    SELECT (SELECT {name} FROM exchange_counts AS c
            WHERE step = 3600 AND c.{name} > found.{name} ORDER BY {name} LIMIT 1)
    FROM found WHERE {name} IS NOT NULL
)
SELECT {name} FROM found
WHERE EXISTS (SELECT FROM exchange_counts AS c
              WHERE step = 3600 AND c.{name} = found.{name} AND start >= :since)
ORDER BY {name} LIMIT :most
"""


class Choices(Struct, frozen=True):
    """The names there are, in their order."""

    routes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()


async def choices(
    connection: AsyncConnection, since: datetime, most: int, tenants: Sequence[str] | None = None
) -> Choices:
    """What was counted since then, of these tenants only (None: of all), at most so many of each.

    Cost: 0.1 ms a name; with `tenants`, a read of all hours of theirs.
    """
    if tenants is None:
        named: list[tuple[str, ...]] = []
        for name in ("route", "model", "tenant"):
            query = text(_NEXT.format(name=name))
            rows = await connection.execute(query, {"since": since, "most": most})
            named.append(tuple(value for (value,) in rows))
        return Choices(*named)
    theirs = (
        select(_k.route, _k.model, _k.tenant)
        .where(_k.step == HOUR, _k.start >= since, _k.tenant.in_(tenants))
        .distinct()
    )
    found = (await connection.execute(theirs)).all()
    return Choices(*(tuple(sorted({row[n] for row in found}))[:most] for n in range(3)))
