"""The measures of groundedness, on rows whose outcome is known."""

import numpy as np
import pytest

from guardrails.evaluation.groundedness import _measures, evaluate_rows, support_of

PASSAGE = "The Elbe ends in the North Sea at Cuxhaven. Dresden lies on it."


def row(claim: str, label: int) -> dict[str, object]:
    return {"passages": PASSAGE, "claim": claim, "label": label}


def test_text_is_worth_its_worst_claim_and_nothing_without_one() -> None:
    good, bad = "The Elbe ends in the North Sea.", "It has 9,000 islands."
    assert support_of(f"{good} {bad}", PASSAGE) == support_of(bad, PASSAGE)
    assert support_of("Where does it end?", PASSAGE) is None


def test_rows_that_are_all_right_and_all_wrong() -> None:
    rows = [
        *(row("The Elbe ends in the North Sea.", 1), row("Dresden lies on the Elbe.", 1)),
        *(row("It has 9,000 islands.", 0), row("How nice!", 0), row("Really?", 0)),
    ]
    right = evaluate_rows(rows)
    assert (right.rows, right.auc.value, right.balanced_accuracy.value) == (5, 1.0, 1.0)
    assert right.claimless == 2
    wrong = evaluate_rows([{**r, "label": 1 - int(r["label"] == 1)} for r in rows])
    assert (wrong.auc.value, wrong.balanced_accuracy.value) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("scores", "truth", "auc", "balanced"),
    [
        ([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0], 0.75, 0.5),
        ([0.5, 0.5, 0.5, 0.5], [1, 1, 0, 0], 0.5, 0.5),
        ([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], 0.875, 0.75),
    ],
)
def test_ties_count_half(
    scores: list[float], truth: list[int], auc: float, balanced: float
) -> None:
    assert _measures(np.array(scores), np.array(truth, bool)) == (auc, balanced)
