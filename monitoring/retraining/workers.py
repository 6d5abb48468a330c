"""Who does the work of a run that nobody works on? A process that outlives this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.retraining import runs

_STARTED: dict[UUID, subprocess.Popen[bytes]] = {}


async def abandoned(engine: AsyncEngine) -> list[UUID]:
    """The runs that may work while no process works on them: new ones, and those cut short."""
    found = []
    for state in ("approved", "running"):
        for run in await runs.recent(engine, state=state):
            async with runs.claim(engine, run.id) as free:
                if free:
                    found.append(run.id)
    return found


def start(run_id: UUID, log: Path, environment: Mapping[str, str]) -> None:
    """Start `banister retrain --resume RUN`, unless one that we started still runs.

    It is in a session of its own: the monitor may be restarted while it trains for hours.
    """
    for known, process in list(_STARTED.items()):
        if process.poll() is not None:
            del _STARTED[known]
    if run_id in _STARTED:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        _STARTED[run_id] = subprocess.Popen(  # noqa: S603 (our own command, no shell)
            [sys.executable, "-m", "guardrails.cli", "retrain", "--resume", str(run_id)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
