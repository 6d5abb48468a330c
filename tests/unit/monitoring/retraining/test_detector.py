from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guardrails.errors import ConfigError
from guardrails.training.dataset import LABELS, Row
from guardrails.training.mixture import split
from monitoring.retraining.candidates import Candidate
from monitoring.retraining.detector_measures import compared
from monitoring.retraining.gates import DETECTOR, judge
from monitoring.retraining.kinds import detector
from monitoring.retraining.plan import Plan

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PLAN = Plan(kind="detector", model="compact", base="b", since=NOW, until=NOW, least_rows=10)


def candidate(n: int, **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "id": str(n),
        "conversation": str(n),
        "tenant": "acme",
        "route": "default",
        "messages": [{"role": "user", "content": f"question {n}"}],
        "answer": f"answer {n}",
    }
    return Candidate(**{**values, **changes})


def kept(text: str) -> str:
    return text


def test_harmless_knows_every_label_and_harm_only_those_that_were_named() -> None:
    rows = detector.rows_of(
        [
            candidate(1, output_harmful=False),
            candidate(2, input_harmful=True, harms=("toxicity", "personal_data")),
            candidate(3, input_harmful=True, harms=("other",)),
            candidate(4),
            candidate(1, output_harmful=True, harms=("toxicity",)),
        ],
        kept,
    )
    assert [(row.text, row.labels) for row in rows] == [
        ("answer 1", dict.fromkeys(LABELS, 0)),
        ("question 2", {"toxicity": 1}),
    ]


def test_reviews_are_written_beside_what_was_known_with_some_held_out(tmp_path: Path) -> None:
    known = tmp_path / "known.jsonl"
    known.write_text(json.dumps({"text": "old", "source": "x", "labels": {"toxicity": 0}}) + "\n")
    reviewed = [Row(f"text {n}", "reviews", dict.fromkeys(LABELS, n % 2)) for n in range(60)]
    one = detector.write_rows(PLAN, known, reviewed, tmp_path / "a")
    two = detector.write_rows(PLAN, known, reviewed, tmp_path / "b")
    assert one.dataset_sha256 == two.dataset_sha256
    assert (tmp_path / "a" / detector.ROWS).read_bytes() == (
        tmp_path / "b" / detector.ROWS
    ).read_bytes()
    with gzip.open(tmp_path / "a" / detector.ROWS, "rt") as file:
        assert len(file.readlines()) == 61
    assert one.train + one.held_out == 60
    _, held = split(reviewed, PLAN.seed)
    assert len(held) == one.held_out


def test_too_few_reviews_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 reviewed texts"):
        detector.write_rows(PLAN, tmp_path, [Row(str(n), "r", {}) for n in range(3)], tmp_path)


class Model:
    labels = ("toxicity",)
    thresholds = {"toxicity": 0.5}  # noqa: RUF012


def gates_of(candidate: np.ndarray, champion: np.ndarray, truth: list[int]) -> dict[str, bool]:
    rows = [Row(str(n), "reviews", {"toxicity": value}) for n, value in enumerate(truth)]
    scored = [[candidate[:, None], champion[:, None]]] * 2
    measures = compared([Model(), Model()], rows, rows, scored, seed=17)
    return {gate.name: gate.passed for gate in judge(measures, DETECTOR)}


def test_a_detector_that_is_better_passes_and_one_that_is_not_is_refused() -> None:
    truth = [0, 1] * 60
    rng = np.random.default_rng(3)
    good = np.clip(np.array(truth) * 0.8 + rng.random(120) * 0.2, 0, 1)
    poor = rng.random(120)
    assert all(gates_of(good, poor, truth).values())
    assert not gates_of(poor, good, truth)["reviewed AUC"]
    same = gates_of(good, good, truth)
    assert same["reviewed AUC"]
    assert not same["gain on reviewed rows"]


def test_rows_of_one_class_are_no_result() -> None:
    assert not any(gates_of(np.ones(9), np.zeros(9), [1] * 9).values())
