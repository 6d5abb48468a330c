import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from guardrails.evaluation.command import evaluate

ROWS = [
    {"text": "You are a worthless idiot, shut up and die.", "label": 1, "kind": "abuse"},
    {"text": "Fuck you, you stupid bitch.", "label": 1, "kind": "abuse"},
    {"text": "How long do I boil an egg?", "label": 0, "kind": "question"},
    {"text": "The bus leaves at noon.", "label": 0, "kind": "statement"},
]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    return path


def test_evaluate_prints_a_table_and_writes_json(labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    arguments = ["compact", "--on", str(labelled), "--label", "toxicity", "--json", str(out)]
    result = CliRunner().invoke(evaluate, [*arguments, "--slice", "kind"])
    assert result.exit_code == 0, result.output
    assert "toxicity" in result.output
    answer = json.loads(out.read_text())
    assert answer["version"].startswith("compact-")
    assert [report["slice"] for report in answer["reports"]] == [
        "",
        "kind=abuse",
        "kind=question",
        "kind=statement",
    ]
    whole = answer["reports"][0]["measures"][0]
    assert whole["auc"]["value"] == 1.0
    assert (whole["positives"], whole["negatives"]) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonesuch"], "There is no detector"),
        (["compact", "--label", "nonesuch"], "it has toxicity"),
        (["compact", "--options", "["], "not JSON"),
        (["patterns"], "only detectors that score"),
    ],
)
def test_a_wrong_argument_is_told_with_what_would_be_right(
    labelled: Path, arguments: list[str], said: str
) -> None:
    result = CliRunner().invoke(evaluate, [*arguments, "--on", str(labelled)])
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(("content", "said"), [("", "no rows"), ('{"text": "a"}\n', "row 1 needs")])
def test_a_file_without_labels_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    result = CliRunner().invoke(evaluate, ["compact", "--on", str(path)])
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
