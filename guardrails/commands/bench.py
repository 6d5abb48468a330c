"""`banister bench`: how fast is the proxy here, against a mock upstream?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from guardrails.errors import ConfigError

CHECKOUT = Path(__file__).parent.parent.parent


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure the proxy with guards off and on; `banister bench -- --help` says more.

    ARGUMENTS go to tests/bench.
    """
    if not (CHECKOUT / "tests" / "bench" / "__main__.py").exists():
        raise ConfigError("`banister bench` needs a checkout of the project: it runs tests/bench.")
    command = (sys.executable, "-m", "tests.bench", *arguments)
    raise SystemExit(subprocess.run(command, cwd=CHECKOUT, check=False).returncode)  # noqa: S603
