"""Which of several schedulers leads: the one whose session holds an advisory lock in Postgres.

Postgres gives the lock back when the session ends: at once when the leader is killed, after
`SILENT_SECONDS` when it hangs and asks for nothing any more, and as soon when its machine is gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LOCK = 0x62616E4D6F6E  # "banMon"

SILENT_SECONDS = 20
"""The longest that a leader may leave its session idle; `holds` must be asked more often."""

_LOCK = text("SELECT pg_try_advisory_lock(:lock)")
_UNLOCK = text("SELECT pg_advisory_unlock(:lock)")
_WATCHED = (
    f"SET idle_session_timeout = '{SILENT_SECONDS}s'",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)


class Lease:
    """Leadership, for as long as the session that holds the lock lives."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def holds(self) -> bool:
        """Whether the session is still there: it ends with the lock, so nothing else is asked."""
        try:
            await self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True


@asynccontextmanager
async def lease(engine: AsyncEngine, lock: int = LOCK) -> AsyncIterator[Lease | None]:
    """A lease, or None while another session has it; given back at the block's end.

    Errors: sqlalchemy.exc.OperationalError where Postgres cannot be reached.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        asked = await connection.execute(_LOCK, {"lock": lock})
        if not asked.scalar_one():
            yield None
            return
        for statement in _WATCHED:
            await connection.execute(text(statement))
        try:
            yield Lease(connection)
        finally:
            # A session that is gone has given the lock back; another one must not go to the pool
            # with its time limit.
            with suppress(SQLAlchemyError):
                await connection.execute(_UNLOCK, {"lock": lock})
            await connection.invalidate()
