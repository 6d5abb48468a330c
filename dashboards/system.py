"""How is the system? What its processes and its database say of themselves, read for one page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.people_tables import heartbeats

MISSING = timedelta(seconds=45)
"""A process that has not told of itself for so long hangs, or is gone without a word."""

_SIZES = text(
    """
    SELECT pg_database_size(current_database()) AS database,
           coalesce(sum(pg_total_relation_size(inhrelid))
                    FILTER (WHERE inhparent = 'exchanges'::regclass), 0)::bigint AS exchanges,
           count(*) FILTER (WHERE relname ~ '^exchanges_[0-9]{4}') AS days,
           max(to_date(substr(relname, 11), 'YYYY_MM_DD'))
               FILTER (WHERE relname ~ '^exchanges_[0-9]{4}') AS until,
           (SELECT coalesce(sum(reltuples), 0)::bigint FROM pg_class
             WHERE oid IN (SELECT inhrelid FROM pg_inherits
                            WHERE inhparent = 'exchanges'::regclass) AND reltuples > 0) AS rows,
           (SELECT count(*) FROM rejected_records) AS rejected,
           (SELECT coalesce(sum(lost), 0)::bigint FROM log_spools) AS lost,
           (SELECT max(updated_at) FROM log_spools) AS written_at,
           current_setting('server_version') AS version
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    """
)
_NEWEST = text(
    "SELECT recorded_at, extract(epoch FROM recorded_at - started_at)"
    " - coalesce(duration_seconds, 0) AS lag FROM exchanges ORDER BY started_at DESC LIMIT 200"
)


class Process(Struct, frozen=True):
    """One process and what it last said. `missing`: it should have said more since."""

    kind: str
    name: str
    started_at: datetime
    seen_at: datetime
    missing: bool
    status: Mapping[str, Any]

    @property
    def ready(self) -> bool:
        """Whether it serves requests, by its own word and lately."""
        return not self.missing and bool(self.status.get("ready"))

    @property
    def upstreams(self) -> list[Mapping[str, Any]]:
        """Each endpoint with its breaker."""
        return list(self.status.get("upstreams", ()))

    @property
    def log(self) -> Mapping[str, Any]:
        """Its way to the exchange log."""
        return dict(self.status.get("log", {}))


class Database(Struct, frozen=True):
    """What the database holds. `rows` is Postgres's own estimate; `until` its last ready day."""

    version: str
    database: int
    exchanges: int
    days: int
    rows: int
    until: date | None
    rejected: int
    lost: int
    written_at: datetime | None
    lag_seconds: float | None


async def processes(connection: AsyncConnection, now: datetime) -> list[Process]:
    """Every process that told of itself in the last day, by kind and name."""
    statement = select(heartbeats).order_by(heartbeats.c.kind, heartbeats.c.name)
    return [
        Process(
            row.kind,
            row.name,
            row.started_at,
            row.seen_at,
            now - row.seen_at > MISSING,
            row.status,
        )
        for row in await connection.execute(statement)
    ]


async def database(connection: AsyncConnection) -> Database:
    """Sizes, partitions and what was lost.

    Cost: some milliseconds; the lag is the median of the newest 200 exchanges.
    """
    row = (await connection.execute(_SIZES)).one()
    lags = sorted(float(one.lag) for one in await connection.execute(_NEWEST))
    return Database(**row._mapping, lag_seconds=lags[len(lags) // 2] if lags else None)
