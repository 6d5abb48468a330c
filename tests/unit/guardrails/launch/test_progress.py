from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from guardrails.launch.progress import Steps


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def console(request: pytest.FixtureRequest) -> Console:
    return Console(file=io.StringIO(), force_terminal=request.param, width=100)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def test_each_step_says_what_it_did(console):
    with Steps(console) as steps, steps.step("database", "starting"):
        pass
    assert "database" in printed(console)
    assert "starting" in printed(console)


def test_a_file_gets_one_line_a_step_with_its_seconds():
    console = Console(file=io.StringIO(), force_terminal=False)
    with Steps(console) as steps, steps.step("database", "starting"):
        pass
    assert re.fullmatch(r"database +starting +\d+\.\d s\n", printed(console))


def test_a_step_that_fails_passes_the_error_on(console):
    with pytest.raises(ValueError, match="no disk"), Steps(console) as steps:
        with steps.step("database", "starting"):
            raise ValueError("no disk")


def test_what_happens_besides_is_told(console):
    with Steps(console) as steps:
        steps.say("proxy was killed by SIGKILL")
    assert "proxy was killed by SIGKILL" in printed(console)
