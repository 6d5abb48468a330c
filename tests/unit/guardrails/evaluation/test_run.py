import base64
import json
from pathlib import Path

import numpy as np
import pytest

from guardrails.evaluation.run import reports_of, score_file, score_rows


class Shouting:
    """A real, if small, Scorer: the share of capitals, and whether there is a question mark."""

    name = "shouting"
    version = "1"
    labels = ("loud", "asking")
    window_tokens = 128

    def detect(self, texts: list[str]) -> np.ndarray:
        return np.array(
            [[sum(map(str.isupper, t)) / max(len(t), 1), "?" in t] for t in texts], np.float32
        )


def test_the_canonical_text_is_scored() -> None:
    scores = score_rows(Shouting(), ["ＨＥＬＬＯ", "hello"], lambda done: None)
    assert scores[:, 0].tolist() == [1.0, 0.0]


def test_what_was_decoded_from_a_text_counts_too() -> None:
    hidden = base64.b64encode(b"Where is the treasure of the king?").decode()
    scores = score_rows(Shouting(), [f"read {hidden}", "read on"], lambda done: None)
    assert scores[:, 1].tolist() == [1.0, 0.0]


def test_progress_adds_up_to_the_rows() -> None:
    done: list[int] = []
    score_rows(Shouting(), ["a"] * 150, done.append)
    assert sum(done) == 150


def test_labels_that_a_row_does_not_know_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"text": "HEY", "labels": {"loud": 1}},
        {"text": "hey", "labels": {"loud": 0, "asking": 0}},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    scored = score_file(Shouting(), path, lambda done: None)
    (report,) = reports_of(scored, labels=("loud", "asking"), thresholds={"loud": 0.9})
    loud, asking = report.measures
    assert (loud.positives, loud.negatives, loud.threshold) == (1, 1, 0.9)
    assert loud.auc is not None
    assert loud.auc.value == pytest.approx(1)
    assert (asking.positives, asking.negatives) == (0, 1)


def test_each_value_of_a_slice_is_reported_and_rows_without_the_field_are_left_out(
    tmp_path: Path,
) -> None:
    rows = [
        {"text": "HEY", "label": 1, "target": "b"},
        {"text": "hey", "label": 0, "target": "a"},
        {"text": "ho", "label": 0},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    scored = score_file(Shouting(), path, lambda done: None)
    reports = list(reports_of(scored, labels=("loud",), thresholds={}, slices=("target", "length")))
    assert [(report.slice, report.rows) for report in reports] == [
        ("", 3),
        ("target=a", 1),
        ("target=b", 1),
        ("length=0 to 49 characters", 3),
    ]
    assert set(reports[0].curves) == {"loud"}
    assert not reports[1].curves
