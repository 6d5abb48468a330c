"""The audit log on a real Postgres."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit


async def test_acts_are_read_back_newest_first_and_by_who_and_what(engine: AsyncEngine):
    async with engine.begin() as connection:
        await audit.record(connection, "ada", "exchange.open", "an-id")
        await audit.record(connection, "bob", "exchange.search", detail={"text": "stairs"})
        await audit.record(connection, "ada", "key.revoke", "k1")
    async with engine.connect() as connection:
        everything = await audit.latest(connection, 10)
        assert [entry.action for entry in everything] == [
            "key.revoke",
            "exchange.search",
            "exchange.open",
        ]
        assert everything[1].detail == {"text": "stairs"}
        assert [e.target for e in await audit.latest(connection, 10, who="ada")] == ["k1", "an-id"]
        assert len(await audit.latest(connection, 10, action="exchange")) == 2
        older = await audit.latest(connection, 10, before=everything[1].id)
        assert [entry.action for entry in older] == ["exchange.open"]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET who = 'eve'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_what_is_written_stands(engine: AsyncEngine, statement: str):
    async with engine.begin() as connection:
        await audit.record(connection, "ada", "exchange.open", "an-id")
    with pytest.raises(DBAPIError, match="only added to"):
        async with engine.begin() as connection:
            await connection.execute(text(statement))
