"""`banister proxy` as a process of its own, with the worker that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from guardrails.launch.addresses import answers, free_port, inference_socket

UPSTREAMS = '[{"name": "nobody", "url": "http://127.0.0.1:9/v1", "model": "m"}]'


def wait_until(true: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while not true():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture
def start(postgres_url: str) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int, Path]]]:
    with tempfile.TemporaryDirectory(prefix="banister-proxy-") as name:
        data_dir, started = Path(name), []

        def run(**settings: str) -> tuple[subprocess.Popen[bytes], int, Path]:
            port = free_port()
            environment = {
                **os.environ,
                "BANISTER_DATA_DIR": name,
                "BANISTER_DATABASE_URL": postgres_url,
                "BANISTER_PORT": str(port),
                "BANISTER_UPSTREAMS": UPSTREAMS,
                **settings,
            }
            command = (sys.executable, "-m", "guardrails.cli", "proxy")
            with (data_dir / "output.txt").open("wb") as output:
                process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            started.append(process)
            return process, port, data_dir

        yield run
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_starts_a_worker_serves_and_leaves_nothing_behind(start, workers):
    process, port, data_dir = start(BANISTER_WORKERS=workers)
    wait_until(lambda: is_ready(port), process)
    assert answers(inference_socket(data_dir))
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_a_fault_of_the_configuration_ends_it_with_a_clear_line(start, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("name: x\nrules: 5\n")
    process, _, data_dir = start(BANISTER_POLICY=str(policy))
    assert process.wait(90) != 0
    assert "policy" in (data_dir / "output.txt").read_text().lower()
