"""How does a job get a plain psycopg connection to the database of its engine?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database.url import libpq_url


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection in autocommit, closed at the block's end."""
    url = libpq_url(engine.url.render_as_string(hide_password=False))
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, application_name="banister upkeep"
    ) as connection:
        yield connection
