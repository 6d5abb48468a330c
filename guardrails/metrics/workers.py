"""How does one worker of several answer for all? Each leaves its counts in a file, once a second.

A scrape reaches one worker, whichever accepts it. It adds to its own counts those in the files of
its siblings, at most `EVERY_SECONDS` old; what a worker that has ended counted stays, so that no
counter falls. One worker alone writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from guardrails.metrics.families import Family, merged

EVERY_SECONDS = 1.0

logger = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(list[Family])


class Workers:
    """The counts of this process and of its siblings."""

    def __init__(self, own: Callable[[], Sequence[Family]], directory: Path | None) -> None:
        self._own = own
        self._directory = directory
        self._pid = os.getpid()

    def families(self) -> list[Family]:
        """Of all workers; of this process alone where it is the only one."""
        parts: list[Sequence[Family]] = [self._own()]
        if self._directory is not None:
            for path in sorted(self._directory.glob("*.json")):
                if path.stem != str(self._pid):
                    parts.append(_read(path))
        return merged(parts)

    def leave(self) -> None:
        """Write this worker's counts where its siblings find them."""
        if self._directory is None:
            return
        path = self._directory / f"{self._pid}.json"
        unfinished = path.with_suffix(".new")
        try:
            unfinished.write_bytes(msgspec.json.encode(self._own()))
            unfinished.replace(path)
        except OSError as error:
            logger.warning("Metrics cannot be shared between workers: %s", error)

    async def keep_leaving(self) -> None:
        """Do so until cancelled."""
        while self._directory is not None:
            self.leave()
            await asyncio.sleep(EVERY_SECONDS)


def directory_of(data_dir: Path, workers: int) -> Path | None:
    """Where the workers of one `banister proxy` meet; None where there is one worker only.

    Made anew by each parent process, and what dead parents left goes.
    """
    parent = multiprocessing.parent_process()
    if workers < 2 or parent is None or parent.pid is None:
        return None
    root = data_dir.expanduser() / "metrics"
    own = root / str(parent.pid)
    own.mkdir(parents=True, exist_ok=True)
    for other in root.iterdir():
        if other.name.isdigit() and not Path(f"/proc/{other.name}").exists():
            shutil.rmtree(other, ignore_errors=True)
    return own


def _read(path: Path) -> list[Family]:
    """What a sibling left; of one that has ended only what counts up, for it has nothing open."""
    try:
        families = _decoder.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return []
    if Path(f"/proc/{path.stem}").exists():
        return families
    return [family for family in families if family.kind != "gauge"]
