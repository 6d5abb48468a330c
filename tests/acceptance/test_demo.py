from __future__ import annotations

import os
import subprocess
import sys

import pytest

from guardrails.launch.addresses import free_port

pytestmark = pytest.mark.timeout(400)


def run(port: int, dashboard_port: int = 1) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "BANISTER_PORT": str(port),
        "BANISTER_DASHBOARD_PORT": str(dashboard_port),
        "COLUMNS": "200",
    }
    command = (sys.executable, "-m", "guardrails.cli", "demo")
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_the_demo_shows_one_allowed_one_flagged_and_one_blocked(product):
    done = run(product.port, product.dashboard_port)
    assert done.returncode == 0, done.stderr
    for word in ("allow", "flag", "block", "Paris", product.pages):
        assert word in done.stdout


def test_without_a_running_product_it_says_how_to_start_one():
    done = run(free_port())
    assert done.returncode == 2
    assert "make up" in done.stderr
