"""The benchmark runs, measures what it says, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest

CHECKOUT = Path(__file__).parents[2]
MARK = f"bench-{uuid.uuid4()}"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A very short run with Banister in it."""
    file = tmp_path_factory.mktemp("bench") / "figures.json"
    short = ["--rounds", "1", "--seconds", "0.3", "--low-rate-seconds", "0.5"]
    command = [sys.executable, "-m", "tests.bench", "--only", "direct", "off", *short]
    done = subprocess.run(
        [*command, "--json", str(file)],
        cwd=CHECKOUT,
        env={**os.environ, "STARTED_BY": MARK},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {"out": done.stdout, **json.loads(file.read_text())}


def test_the_table_names_every_peer(result: dict[str, Any]) -> None:
    assert "mock, direct" in result["out"]
    assert "Banister, no rule" in result["out"]


def test_every_figure_of_the_proxy_is_there(result: dict[str, Any]) -> None:
    proxy = result["peers"]["off"]
    for connections in ("16", "64"):
        assert proxy["rates"][connections][0] > 10
        assert 0 < proxy["cpu_ms"][connections][0] < 100
    assert 0 < proxy["p50_ms"][0] <= proxy["p99_ms"][0]
    assert proxy["start_seconds"] > 0.1
    assert proxy["memory_under_load"]["pss_mb"] > 20
    assert proxy["answers"] > 20
    assert proxy["errors"] == 0


def test_the_mock_alone_is_faster_than_the_proxy(result: dict[str, Any]) -> None:
    peers = result["peers"]
    assert peers["direct"]["rates"]["16"][0] > peers["off"]["rates"]["16"][0]


def test_nothing_of_it_is_left_running(result: dict[str, Any]) -> None:
    left = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("STARTED_BY") == MARK:
                left.append(process.info["cmdline"])
    assert left == []
