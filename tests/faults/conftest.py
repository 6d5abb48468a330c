"""A Postgres for these tests alone, since they kill it; a seed that is printed; a model."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guardrails.launch.addresses import free_port
from tests import fakes
from tests.faults.rig import Proxy, Server, proxy


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="banister-faults-"))
    server = Server(directory)
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("BANISTER_FAULT_SEED", random.randrange(2**32)))
    print(f"BANISTER_FAULT_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    async with fakes.upstream(fakes.chat("It is one, of course. " * 10)) as model:
        yield model.url


@pytest.fixture
def make_proxy(tmp_path: Path, upstream: str) -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def make(url: str, **settings: Any) -> Proxy:
        """A proxy that is started and, at the test's end, killed."""
        directory = tmp_path / f"proxy-{len(made)}"
        spool = {"log_spool": tmp_path / "spool"}
        made.append(proxy(directory, free_port(), url, upstream, **{**spool, **settings}))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.kill()
