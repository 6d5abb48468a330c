"""`banister up`, as a person on a fresh machine meets it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

import psutil
import pytest

pytestmark = pytest.mark.timeout(400)


def until(true, seconds=15):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_says_what_it_did_and_where_everything_is(product):
    for step in ("database", "schema", "inference", "model", "proxy", "dashboard", "monitor"):
        assert re.search(rf"^{step} .*\d s$", product.output, re.MULTILINE), step
    assert f"{product.api}/v1" in product.output
    assert product.pages in product.output


def test_the_line_for_the_shell_that_it_prints_works(product):
    line = next(line for line in product.output.splitlines() if line.startswith("curl "))
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, timeout=90)
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"]


def test_the_python_that_it_prints_works(python_snippet):
    command = (sys.executable, "-c", python_snippet)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    assert done.stdout.strip()


@pytest.mark.parametrize("path", ["healthz", "readyz"])
def test_it_is_healthy_and_ready(product, path):
    with urlopen(f"{product.api}/{path}", timeout=5) as answer:
        assert answer.status == 200


def test_a_crashed_child_is_started_again_and_said_so(small_product):
    product = small_product("crash")
    product.start()
    try:
        proxy = next(p for p in product.processes() if p.cmdline()[-2:] == ["proxy", "--alone"])
        proxy.kill()
        product.wait_for_output("proxy was killed by SIGKILL; starting it again", 20)
        until(lambda: _ready(product), 30)
    finally:
        product.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_within_ten_seconds_and_a_second_start_is_quick(small_product, number):
    product = small_product("stop")
    product.start()
    assert len(product.processes()) >= 6
    assert product.stop(number) < 10
    assert product.process.returncode == 0
    assert product.processes() == []
    product.start()
    seconds = product.start_seconds
    product.stop()
    assert seconds < 30


def test_a_signal_during_the_start_leaves_nothing_behind(small_product):
    product = small_product("early")
    product.launch()
    until(lambda: len(product.processes()) >= 3)
    assert product.stop() < 10
    assert product.processes() == []


@pytest.mark.parametrize("moment", ["up", "starting"])
def test_a_forced_stop_leaves_no_process_and_no_postgres(small_product, moment):
    product = small_product("forced")
    if moment == "up":
        product.start()
    else:
        product.launch()
        until(lambda: any("postgres" in " ".join(p.cmdline()) for p in product.processes()))
    product.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    product.process.send_signal(signal.SIGTERM)
    product.process.wait(10)
    until(lambda: product.processes() == [], 10)


def test_killing_the_databases_keeper_leaves_one_server_and_the_product_well(small_product):
    product = small_product("keeper")
    product.start()
    try:
        for process in product.processes():
            if "guardrails.launch.database_keeper" in process.cmdline():
                process.kill()
        product.wait_for_output("database was killed by SIGKILL; starting it again", 20)
        until(lambda: _ready(product) and product.database_url, 30)
    finally:
        product.stop()
    until(lambda: product.processes() == [], 10)


def test_killing_the_supervisor_ends_everything_that_it_started(small_product):
    product = small_product("kill")
    product.start()
    product.stop(signal.SIGKILL)
    until(lambda: product.processes() == [], 20)
    product.start()
    product.stop()


def test_a_second_one_on_the_same_data_is_refused(product):
    again = subprocess.run(
        [sys.executable, "-m", "guardrails.cli", "up"],
        env={**psutil.Process(product.process.pid).environ(), "BANISTER_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert again.returncode == 2
    assert f"process {product.process.pid}" in again.stderr
    assert again.stderr.count("\n") == 1


def test_a_taken_port_is_one_clear_line(product, small_product):
    other = small_product("port", BANISTER_PORT=str(product.port))
    assert other.launch().wait(30) == 2
    assert f"Port {product.port}" in other.output
    assert "BANISTER_PORT=" in other.output
    assert other.output.count("\n") == 1


def _ready(product):
    try:
        with urlopen(f"{product.api}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False
