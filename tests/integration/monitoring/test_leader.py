"""One leader among sessions of a real Postgres."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.leader import lease


async def test_only_one_lease_is_given_at_a_time(engine: AsyncEngine):
    async with lease(engine) as first:
        assert await first.holds()
        async with lease(engine) as second:
            assert second is None
    async with lease(engine) as third:
        assert third is not None
