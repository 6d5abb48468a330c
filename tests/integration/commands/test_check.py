"""`banister check` with the real worker and the compact model."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(scope="module")
def check() -> Iterator[Callable[..., str]]:
    with tempfile.TemporaryDirectory(prefix="banister-check-") as directory:

        def run(*arguments: str) -> str:
            command = (sys.executable, "-m", "guardrails.cli", "check", *arguments)
            environment = {**os.environ, "BANISTER_DATA_DIR": directory, "COLUMNS": "120"}
            return subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            ).stdout

        yield run


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (["Good morning, how do I bake bread?"], "allow"),
        (["You are a stupid worthless idiot and I hate you."], "block"),
        (["my card is 4111 1111 1111 1111"], "flag"),
        (["my key is AKIAIOSFODNN7EXAMPLE, use it", "--stage", "output"], "redact"),
    ],
)
def test_the_table_ends_with_what_the_policy_decided(check, arguments, action):
    output = check(*arguments)
    assert output.splitlines()[-1].endswith(f": {action}")
    assert "toxicity" in output
    assert "personal_data" in output
