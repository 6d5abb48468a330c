"""When was an exchange made, by its id alone? Apart, for the proxy asks it without SQLAlchemy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

CLOCKS_APART = timedelta(minutes=10)
"""How far an id's moment and the row's may lie apart."""


def moment_of(exchange_id: UUID) -> datetime | None:
    """When a UUIDv7 was made, to the millisecond; None for any other kind."""
    if exchange_id.version != 7:
        return None
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=exchange_id.int >> 80)
    except OverflowError:
        return None
