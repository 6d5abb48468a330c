"""Who watches the rollouts, second by second? One process of all, whichever holds the lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.leader import lease
from monitoring.rollout import controller, records
from monitoring.rollout.publish import publish

logger = logging.getLogger(__name__)

LOCK = 0x62616E526F6C  # "banRol"
EVERY_SECONDS = 1.0


async def serve(
    engine: AsyncEngine,
    stop: asyncio.Event,
    *,
    now: Callable[[], datetime],
    every_seconds: float = EVERY_SECONDS,
    versions_dir: Path | None = None,
) -> None:
    """Watch every open rollout, or stand by, until `stop` is set.

    A rollout's share stays where it is while nobody watches. What was recorded meanwhile is read by
    whoever comes next. Errors: none while Postgres is away.
    """
    while not stop.is_set():
        try:
            async with lease(engine, LOCK) as held:
                while held is not None and not stop.is_set() and await held.holds():
                    await look(engine, now, versions_dir)
                    await _pause(stop, every_seconds)
        except (SQLAlchemyError, OSError) as error:
            logger.warning("Rollouts cannot be watched: %s", type(error).__name__)
        await _pause(stop, every_seconds)


async def look(
    engine: AsyncEngine, now: Callable[[], datetime], versions_dir: Path | None = None
) -> None:
    """One tick of every open rollout; one that fails does not keep the others waiting."""
    for rollout_id, candidate in await records.under_way(engine):
        try:
            if versions_dir is not None:
                await publish(engine, versions_dir, candidate)
            decision = await controller.tick(engine, rollout_id, now())
        except (SQLAlchemyError, OSError) as error:
            # Somebody changed it by hand at this moment, or Postgres is away: the next tick tells.
            logger.warning("Rollout %s was not looked at: %s", rollout_id, type(error).__name__)
            continue
        if decision is not None:
            logger.info("Rollout %s: %s, %s", rollout_id, decision.kind, decision.why)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
