from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest

from guardrails import cli
from guardrails.errors import ConfigError

VERBS = sorted(entry_points(group=cli.GROUP), key=lambda entry: entry.name)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_help_names_every_verb_with_what_it_does(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for entry in VERBS:
        assert entry.name in out
        first_words = cli.summary(entry).split()[:3]
        assert first_words, f"{entry.name} has no docstring"
        assert " ".join(first_words) in " ".join(out.split())


def test_help_imports_no_verb():
    source = (
        "import sys; from guardrails.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'sqlalchemy', 'monitoring.run'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("entry", VERBS, ids=lambda entry: entry.name)
def test_each_verb_is_a_command_with_help(capsys, entry):
    assert isinstance(entry.load(), click.Command)
    status, out, _ = run(capsys, entry.name, "--help")
    assert status == 0
    assert f"banister {entry.name}" in out


def test_an_unknown_verb_is_refused_by_name(capsys):
    status, _, err = run(capsys, "dance")
    assert status == 2
    assert "No such command 'dance'" in err


def test_a_wrong_setting_is_one_line_that_names_it(capsys, monkeypatch):
    monkeypatch.setenv("BANISTER_PORT", "many")
    status, _, err = run(capsys, "up")
    assert status == 2
    assert err.startswith("banister: BANISTER_PORT: ")
    assert err.count("\n") == 1


def test_a_fault_of_the_configuration_is_one_line(capsys, monkeypatch):
    def refuse(**_: object) -> None:
        raise ConfigError("The policy is not valid: no rules.")

    monkeypatch.setattr(cli.banister, "main", refuse)
    assert run(capsys) == (2, "", "banister: The policy is not valid: no rules.\n")
