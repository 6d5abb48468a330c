import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from guardrails.evaluation.calibrate_command import calibrate

HARMLESS = [f"The bus number {n} leaves at noon from the market square." for n in range(70)]
HARMFUL = ["You are a worthless idiot.", "Shut up, you stupid moron."]


@pytest.fixture
def reviewed(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": t, "label": 0} for t in HARMLESS] + [{"text": t, "label": 1} for t in HARMFUL]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def run(reviewed: Path, *arguments: str):
    return CliRunner().invoke(
        calibrate, ["compact", "--on", str(reviewed), "--label", "toxicity", *arguments]
    )


def test_calibrate_says_the_threshold_and_what_it_guarantees(reviewed: Path, tmp_path: Path):
    out = tmp_path / "out.json"
    result = run(reviewed, "--risk", "0.05", "--json", str(out))
    assert result.exit_code == 0, result.output
    assert "With confidence 0.95" in result.output
    answer = json.loads(out.read_text())
    assert 0 < answer["threshold"] < 0.5
    assert (answer["rows"], answer["errors"]) == (70, 0)
    assert answer["price"]["value"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--risk", "0.01"], "at least 299"),
        (["--risk", "0.05", "--label", "no"], "it has toxicity"),
    ],
)
def test_calibrate_refuses_what_it_cannot_promise(reviewed: Path, arguments: list[str], said: str):
    result = run(reviewed, *arguments)
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
