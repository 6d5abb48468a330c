import gzip
import json
from pathlib import Path

import pytest

from guardrails.training.held_out import kind_of, main
from guardrails.training.mixture import HELD_OUT_SHARE


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("From: Anna\nSubject: lunch\n\nHello", "mail"),
        ("SUBJECT: Charged|CONTENT: Hi David", "mail"),
        ("| Year | Place |\n| 1994 | Rome |", "table"),
        ("id,name,comment\n1,Lee,ok", "table"),
        ('{"tool": "search", "output": "9 to 5"}', "tool result"),
        ("2026-03-02 10:11 INFO start", "tool result"),
        ("def total(rows):\n    return 1", "code"),
        ("Traceback (most recent call last):", "code"),
        ("The river rises in the hills and runs to the sea.", "document"),
    ],
)
def test_a_quoted_text_has_a_kind(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_the_held_out_rows_become_a_file_that_evaluate_reads(tmp_path: Path) -> None:
    data, out = tmp_path / "data.jsonl.gz", tmp_path / "out.jsonl"
    with gzip.open(data, "wt") as lines:
        for n in range(500):
            row = {"text": f"| {n} | a | b |", "source": "bipia", "labels": {"prompt_injection": 0}}
            lines.write(json.dumps(row) + "\n")
    main([str(data), str(out)])
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    tables = [row for row in rows if row["source"] == "bipia"]
    assert 0 < len(tables) < 500 * HELD_OUT_SHARE * 2
    assert {row["kind"] for row in tables} == {"table"}
    assert any(row["source"] == "own_threats_varied" for row in rows)
    assert all("kind" not in row for row in rows if row["source"] == "own_threats_varied")
