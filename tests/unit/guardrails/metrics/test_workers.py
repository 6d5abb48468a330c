"""Several workers, of which one answers for all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from guardrails.metrics.families import Family, counter, gauge
from guardrails.metrics.workers import Workers, directory_of


def own(count: float) -> list[Family]:
    return [
        counter("c", "Counts.", (), {(): count}),
        gauge("open", "Open.", (), {(): count}),
    ]


def values(workers: Workers) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in workers.families()}


def test_a_worker_adds_what_its_siblings_left(tmp_path: Path):
    sibling = Workers(lambda: own(5), tmp_path)
    sibling._pid = os.getppid()
    sibling.leave()
    assert values(Workers(lambda: own(2), tmp_path)) == {"c": 7, "open": 7}


def test_what_a_dead_sibling_counted_stays_and_what_it_had_open_goes(tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = Workers(lambda: own(5), tmp_path)
    gone._pid = dead.pid
    gone.leave()
    assert values(Workers(lambda: own(2), tmp_path)) == {"c": 7, "open": 2}


async def test_one_worker_alone_writes_nothing(tmp_path: Path):
    alone = Workers(lambda: own(2), None)
    alone.leave()
    await asyncio.wait_for(alone.keep_leaving(), 1)
    assert values(alone) == {"c": 2, "open": 2}
    assert directory_of(tmp_path, 1) is None
    assert directory_of(tmp_path, 2) is None, "this process is nobody's worker"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path):
    (tmp_path / "1.json").write_text("[")
    assert values(Workers(lambda: own(2), tmp_path)) == {"c": 2, "open": 2}
