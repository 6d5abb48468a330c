"""The real command over real Ray workers, of which some are killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import BLOCK_INPUT, policy_text

BAD = 50


def write_texts(path: Path, lines: int) -> None:
    with path.open("w") as file:
        for n in range(lines):
            text = f"Tell me about number {n}" + (" and xyzzy." if n % BAD == 0 else ".")
            file.write(json.dumps({"id": n, "text": text}) + "\n")


def begin(directory: Path, source: Path, *options: str) -> subprocess.Popen[str]:
    """Start a batch by a policy of patterns, for they need no model."""
    policy = directory / "policy.yaml"
    policy.write_text(policy_text(BLOCK_INPUT))
    config = directory / "banister.yaml"
    config.write_text(
        f"data_dir: {directory}\npolicy: {policy}\n"
        "detectors:\n  patterns:\n    words:\n      forbidden: [xyzzy]\n"
    )
    environment = {**os.environ, "BANISTER_CONFIG": str(config)}
    command = [sys.executable, "-m", "guardrails.cli", "batch", str(source), *options]
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def workers(batch: int) -> list[psutil.Process]:
    """The processes that do the shards of a batch."""
    return [
        child
        for child in psutil.Process(batch).children(recursive=True)
        if "MapWorker" in " ".join(child.cmdline() or [])
    ]


def killed(batch: subprocess.Popen[str], parts: Path, shards: int) -> int:
    """Kill a worker once some shards are done; how many were."""
    deadline = time.monotonic() + 300
    while len(done := list(parts.glob("shard-*.jsonl"))) < shards:
        assert batch.poll() is None, batch.stderr and batch.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for worker in workers(batch.pid)[:1]:
        worker.send_signal(signal.SIGKILL)
        return len(done)
    raise AssertionError("there is no worker to kill")


def check(out: Path, lines: int) -> None:
    """Every line answered, once, in order, and rightly."""
    with out.open() as file:
        for n, raw in enumerate(file):
            row = json.loads(raw)
            assert row["id"] == n
            assert row["action"] == ("block" if n % BAD == 0 else "allow")
    assert n + 1 == lines


def test_a_batch_of_which_a_worker_is_killed_loses_nothing_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    source = tmp_path / "texts.jsonl"
    write_texts(source, 2_000)
    batch = begin(tmp_path, source, "--workers", "2", "--shard-lines", "25")
    done = killed(batch, tmp_path / ".texts.jsonl.out.parts", 10)
    assert done < 80
    _, said = batch.communicate(timeout=110)
    assert batch.returncode == 0, said
    check(tmp_path / "texts.jsonl.out", 2_000)
    assert not list(tmp_path.glob(".texts*"))


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_a_hundred_thousand_texts_survive_a_killed_worker_and_a_killed_batch(
    tmp_path: Path,
) -> None:
    source, parts = tmp_path / "texts.jsonl", tmp_path / ".texts.jsonl.out.parts"
    write_texts(source, 100_000)
    batch = begin(tmp_path, source, "--workers", "2")
    killed(batch, parts, 60)
    killed(batch, parts, 160)
    while len(list(parts.glob("shard-*.jsonl"))) < 240:
        assert batch.poll() is None
        time.sleep(0.05)
    family = [
        batch.pid,
        *(child.pid for child in psutil.Process(batch.pid).children(recursive=True)),
    ]
    for pid in family:
        # Ray's helpers end by themselves once the first of them is gone.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    batch.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("shard-*.jsonl")}
    assert 240 <= len(kept) < 400
    again = begin(tmp_path, source, "--workers", "2")
    deadline = time.monotonic() + 200
    while len(list(parts.glob("shard-*.jsonl"))) == len(kept):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert all((parts / name).stat().st_mtime_ns == at for name, at in kept.items())
    _, said = again.communicate(timeout=2_500)
    assert again.returncode == 0, said
    assert "shards are done already" in said
    check(tmp_path / "texts.jsonl.out", 100_000)


def test_parts_of_another_policy_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    write_texts(source, 10)
    parts = tmp_path / ".texts.jsonl.out.parts"
    parts.mkdir()
    (parts / "plan.json").write_text("{}")
    batch = begin(tmp_path, source)
    _, said = batch.communicate(timeout=60)
    assert batch.returncode != 0
    assert "another input" in said
