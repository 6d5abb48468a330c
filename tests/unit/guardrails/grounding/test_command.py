"""`banister ingest` on the command line; tests/integration/test_grounding.py runs it for real."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from guardrails.grounding.command import ingest


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["none"], "does not exist"),
        (["."], "holds no .txt, .md, .html or .pdf file"),
        (["a.txt", "--prune"], "--prune compares with a directory"),
    ],
)
def test_wrong_path_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if "a.txt" in arguments:
        (tmp_path / "a.txt").write_text("x")
    result = CliRunner().invoke(ingest, arguments)
    assert result.exit_code != 0
    assert fault in result.output
    assert not (tmp_path / ".banister").exists()
