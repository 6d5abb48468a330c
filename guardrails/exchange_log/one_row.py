"""How is the one row of a query read that always has one?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql


async def one_row(
    connection: psycopg.AsyncConnection,
    query: LiteralString | sql.Composed,
    values: Sequence[Any] | Mapping[str, Any] = (),
) -> tuple[Any, ...]:
    """The first row. Errors: LookupError where there is none."""
    row = await (await connection.execute(query, values)).fetchone()
    if row is None:
        raise LookupError("the query gave no row")
    return row
