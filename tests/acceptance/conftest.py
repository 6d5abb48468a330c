"""The whole product, started as a person starts it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest
from openai import OpenAI
from psycopg.rows import dict_row

from guardrails.database.url import libpq_url
from guardrails.demo import model as demo_model
from guardrails.launch.addresses import free_port

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 300
MODEL = demo_model.NAME


class Product:
    """A running `banister up` with a data directory of its own."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.port, self.dashboard_port = free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.port}"
        self.pages = f"http://127.0.0.1:{self.dashboard_port}"
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("BANISTER_")},
            "BANISTER_DATA_DIR": str(data_dir),
            "BANISTER_PORT": str(self.port),
            "BANISTER_DASHBOARD_PORT": str(self.dashboard_port),
            **environment,
        }
        self._output = data_dir / "output.txt"
        self.process: subprocess.Popen[bytes]
        self.start_seconds = 0.0

    @property
    def output(self) -> str:
        """Everything that it has printed since its last start."""
        return self._output.read_text()

    @property
    def database_url(self) -> str:
        """The database, as psycopg wants it."""
        return libpq_url((self.data_dir / "database.url").read_text())

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and do not wait."""
        command = (sys.executable, "-m", "guardrails.cli", "up")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.data_dir, env=self._environment, stdout=output, stderr=output
            )
        return self.process

    def start(self) -> None:
        """Start it and wait until it says that it is up."""
        began = time.monotonic()
        self.launch()
        self.wait_for_output("Banister is up")
        self.start_seconds = time.monotonic() - began

    def wait_for_output(self, words: str, seconds: float = START_SECONDS) -> None:
        """Wait until the words were printed; fail with the whole output where it ends before."""
        deadline = time.monotonic() + seconds
        while words not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, f"no {words!r} in: {self.output}"
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal, wait for the end, and give the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began

    def processes(self) -> list[psutil.Process]:
        """Every process that runs on this data directory, found by what it was told."""
        return [p for p in psutil.process_iter() if self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            told = " ".join(process.cmdline())
            mine = process.environ().get("BANISTER_DATA_DIR") == str(self.data_dir)
        except psutil.Error:
            return False
        return mine or str(self.data_dir) in told

    def exchange(self, identifier: str) -> dict[str, object]:
        """The recorded row of an exchange; the log is written in batches, so it is waited for."""
        deadline = time.monotonic() + 10
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            while True:
                row = connection.execute(
                    "SELECT * FROM exchanges WHERE id = %s", (identifier,)
                ).fetchone()
                connection.rollback()
                if row is not None:
                    return row
                assert time.monotonic() < deadline, f"{identifier} was never recorded"
                time.sleep(0.1)


@pytest.fixture(scope="session")
def directory_for() -> Iterator[Callable[[str], Path]]:
    """Makes a data directory with a short path, and removes it at the end."""
    with ExitStack() as stack:

        def make(name: str) -> Path:
            path = Path(tempfile.mkdtemp(prefix=f"banister-{name}-"))
            stack.callback(shutil.rmtree, path, ignore_errors=True)
            return path

        yield make


@pytest.fixture(scope="session")
def product(directory_for: Callable[[str], Path]) -> Iterator[Product]:
    """The product with the demo model, once for all acceptance tests.

    A model that was converted before is used again, from the directory that BANISTER_MODEL_CACHE
    names or from the checkout's own; else it is converted, which takes half a minute.
    """
    data_dir = directory_for("acceptance")
    cache = os.environ.get("BANISTER_MODEL_CACHE")
    kept = Path(cache) / MODEL if cache else demo_model.directory(ROOT / ".banister")
    made = demo_model.directory(data_dir)
    if demo_model.is_converted(kept):
        shutil.copytree(kept, made, copy_function=_link)
    product = Product(data_dir)
    try:
        product.start()
        if cache and not demo_model.is_converted(kept):
            shutil.copytree(made, kept, copy_function=_link)
        yield product
    finally:
        if product.process.poll() is None:
            product.stop()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def small_product(product: Product, directory_for: Callable[[str], Path]) -> Callable[..., Product]:
    """Makes products to start, stop and kill: their model is that of the first one."""

    def make(name: str, **environment: str) -> Product:
        upstreams = f'[{{"name": "first", "url": "{product.api}/v1", "model": "{MODEL}"}}]'
        return Product(directory_for(name), BANISTER_UPSTREAMS=upstreams, **environment)

    return make


@pytest.fixture(scope="session")
def client(product: Product) -> Iterator[OpenAI]:
    """The official client, as an application makes it."""
    with OpenAI(base_url=f"{product.api}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def python_snippet(product: Product) -> str:
    """The Python that `banister up` prints for people to try."""
    found = re.search(r"^from openai.*^print\([^\n]+\)$", product.output, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]
