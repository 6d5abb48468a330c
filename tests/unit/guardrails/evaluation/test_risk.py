import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.errors import ConfigError
from guardrails.evaluation.risk import choose, clopper_pearson, least_rows


def test_the_risk_is_kept_as_often_as_promised() -> None:
    rng = np.random.default_rng(3)
    broken = 0
    for _ in range(400):
        found = choose("x", rng.random(500), np.zeros(500, bool), risk=0.03, confidence=0.9)
        # Uniform scores: the true false-positive rate of a threshold is what lies above it.
        broken += 1 - found.threshold > 0.03
    assert broken / 400 <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 400)
    assert broken > 0, "a guarantee that is never near its limit wastes recall"


def test_on_average_the_mean_rate_keeps_the_risk() -> None:
    rng = np.random.default_rng(4)
    rates = [
        1 - choose("x", rng.random(120), np.zeros(120, bool), risk=0.05, confidence=None).threshold
        for _ in range(500)
    ]
    assert 0.03 < np.mean(rates) <= 0.05 + 0.003


@pytest.mark.parametrize(
    ("risk", "confidence", "rows"), [(0.01, 0.95, 299), (0.05, 0.95, 59), (0.01, None, 99)]
)
def test_too_few_rows_are_refused_with_the_number_that_is_needed(
    risk: float, confidence: float | None, rows: int
) -> None:
    assert least_rows(risk, confidence) == rows
    scores = np.linspace(0, 0.9, rows)
    choose("x", scores, np.zeros(rows, bool), risk=risk, confidence=confidence)
    with pytest.raises(ConfigError, match=f"at least {rows} are needed"):
        choose("x", scores[1:], np.zeros(rows - 1, bool), risk=risk, confidence=confidence)


def test_misses_are_bounded_from_below() -> None:
    scores = np.concatenate([np.linspace(0.3, 1, 300), np.linspace(0, 0.5, 50)])
    truth = np.arange(350) < 300
    found = choose("x", scores, truth, risk=0.02, rate="misses")
    assert found.errors == int((scores[truth] < found.threshold).sum())
    assert found.bound <= 0.02
    assert found.price is not None and 0 < found.price.value < 1
    assert "harmful texts are missed" in found.says


def test_scores_of_one_leave_no_threshold() -> None:
    with pytest.raises(ConfigError, match="no threshold"):
        choose("x", np.ones(400), np.zeros(400, bool), risk=0.01)


@pytest.mark.parametrize(
    ("errors", "rows", "bound"), [(0, 299, 0.00997), (1, 100, 0.0466), (5, 50, 0.1988), (3, 3, 1)]
)
def test_clopper_pearson_agrees_with_the_tables(errors: int, rows: int, bound: float) -> None:
    assert clopper_pearson(errors, rows, 0.95) == pytest.approx(bound, abs=2e-4)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 0.99), min_size=60, max_size=200), st.floats(0.05, 0.5))
def test_the_bound_of_what_was_seen_is_within_the_risk(scores: list[float], risk: float) -> None:
    found = choose("x", np.array(scores), np.zeros(len(scores), bool), risk=risk)
    assert found.bound <= risk + 1e-9
    assert sum(score >= found.threshold for score in scores) == found.errors
