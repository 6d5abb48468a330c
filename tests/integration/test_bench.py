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

from tests.bench.mock import STREAM_CHUNKS, STREAM_LENGTHS
from tests.bench.streams import held_back

CHECKOUT = Path(__file__).parents[2]
MARK = f"bench-{uuid.uuid4()}"


def bench(directory: Path, *options: str) -> dict[str, Any]:
    """What one round printed, and its figures."""
    file = directory / "figures.json"
    command = [sys.executable, "-m", "tests.bench", "--rounds", "1", *options]
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


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A very short run with Banister in it."""
    short = ["--seconds", "0.3", "--low-rate-seconds", "0.5"]
    return bench(tmp_path_factory.mktemp("bench"), "--only", "direct", "off", *short)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same with streams, few of them, and rules that hold them."""
    few = ["--stream", "--streams", "5", "--only", "direct", "patterns"]
    return bench(tmp_path_factory.mktemp("streams"), *few)


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


def test_every_stream_comes_whole_and_a_guarded_one_later(streamed: dict[str, Any]) -> None:
    direct, guarded = streamed["direct"], streamed["patterns"]
    for peer in (direct, guarded):
        assert peer["errors"] == 0
        assert (peer["ended"], peer["broken"], peer["late"]) == ([5], [0], [0])
    assert guarded["to_first_ms"] > direct["to_first_ms"]
    assert 0 < guarded["lag_p50_ms"][0] <= guarded["lag_p95_ms"][0]
    assert guarded["memory_mb"][0] > 20


def test_what_is_held_back_and_how_often_it_is_read_are_measured(streamed: dict[str, Any]) -> None:
    direct, guarded = streamed["direct"], streamed["patterns"]
    assert 0 < direct["held_median"][0] <= max(STREAM_LENGTHS) < guarded["held_median"][0]
    assert guarded["held_median"] < guarded["held_most"]
    assert direct["scans"] is None
    assert list(guarded["scans"]) == ["patterns"]
    # Each piece of about 40 characters is read with 64 before it; fewer where several came at once.
    assert 1.0 <= guarded["scans"]["patterns"] < 3.0
    assert "scans a" in streamed["out"]
    assert "held" in streamed["out"]


def test_held_characters_are_those_that_left_and_have_not_come() -> None:
    seen = [(1.0, 1.1), (2.0, 4.5), (3.0, 4.5), (4.0, 4.5), (5.0, 5.1)]
    assert held_back(seen, [3, 4, 5, 6, 7]) == [3, 4, 9, 15, 7]
    assert len(STREAM_LENGTHS) == STREAM_CHUNKS - 1


@pytest.mark.usefixtures("result", "streamed")
def test_nothing_of_it_is_left_running() -> None:
    left = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("STARTED_BY") == MARK:
                left.append(process.info["cmdline"])
    assert left == []
