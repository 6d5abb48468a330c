"""Seal: the rows that are settled enter their days' chains, so that `banister verify` proves them.

The heads go to the monitor's own log as well: who can change the database cannot change that.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.chain import sealer_of
from guardrails.settings import Settings
from monitoring.connected import connected
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(minutes=10)

logger = logging.getLogger(__name__)


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Seal every settled row that is not sealed yet, whenever it began."""
    async with connected(engine) as connection:
        done = await sealer_of(Settings()).seal(connection)
    for day, head in done.heads.items():
        logger.info("sealed %s, head %s", day, head.hex())
    heads = "; ".join(f"{day} {head.hex()[:16]}" for day, head in done.heads.items())
    return Outcome(
        Status.OK,
        done.rows,
        f"{done.rows:,} exchanges sealed" + (f": {heads}" if heads else ""),
        (Figure("sealed", done.rows, "exchanges", done.rows),),
    )
