"""How do shards spread over processes and machines? With Ray Data; this is its only import.

A worker that is killed is started anew, and Ray gives it the shard once more. Nothing is told to
anybody: no usage statistics, no dashboard.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import msgspec
import ray
from ray.data import ActorPoolStrategy, DataContext

from guardrails.batch.judge import How, Judge
from guardrails.batch.shards import Parts, Shard, read
from guardrails.settings import Settings

_ATTEMPTS = 3


class Worker:
    """One actor: its detectors stay loaded from shard to shard."""

    def __init__(self, source: str, target: str, how: bytes) -> None:
        self._source, self._parts = Path(source), Parts(Path(target))
        self._loop = asyncio.new_event_loop()
        self._judge = Judge(Settings(), msgspec.msgpack.decode(how, type=How))
        self._loop.run_until_complete(self._judge.start())

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Do one shard, unless another worker has; what is told is small."""
        shard = msgspec.msgpack.decode(row["shard"], type=Shard)
        if self._parts.missing([shard]):
            lines = read(self._source, shard)
            answers = self._loop.run_until_complete(self._judge.answers(lines))
            self._parts.write(shard, answers)
        return {"number": shard.number, "lines": shard.lines, "pid": os.getpid()}


def run(
    source: Path,
    target: Path,
    shards: list[Shard],
    how: How,
    *,
    workers: int,
    address: str | None,
    environment: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Do the shards; each is told as it is done, with the id of the process that did it.

    `address` joins a cluster, whose machines must all reach the files; without it Ray runs here.
    """
    _join(address, workers, environment)
    try:
        context = DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context.max_errored_blocks = 0
        rows = [{"shard": msgspec.msgpack.encode(shard)} for shard in shards]
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,  # type: ignore[arg-type]  # a class is an actor, which its stubs do not say
            fn_constructor_args=(str(source), str(target), msgspec.msgpack.encode(how)),
            compute=ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        yield from done.iter_rows()
    finally:
        ray.shutdown()


def _join(address: str | None, workers: int, environment: Mapping[str, str]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            ray.init(
                address=address or "local",
                num_cpus=None if address else workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": dict(environment)},
            )
            return
        # Ray raises a bare Exception where a busy machine did not start it within 30 seconds.
        except Exception:
            ray.shutdown()
            if attempt == _ATTEMPTS - 1:
                raise
