from __future__ import annotations

import pytest

from monitoring.retraining.gates import DETECTOR, LANGUAGE_MODEL, Condition, judge
from monitoring.retraining.paired import paired
from monitoring.retraining.plan import Estimate, Measure

LOWER = Condition("harm", "at most", 0.05, "no more harm")
HIGHER = Condition("overlap", "at least", -0.1, "as near")


def measured(
    name: str, low: float | None, high: float | None, *, value: float | None = 0.0, n: int = 30
) -> Measure:
    return Measure(name, "share", "lower", 0.0, 0.0, Estimate(value, low, high, n))


@pytest.mark.parametrize(
    ("condition", "low", "high", "n", "passes"),
    [
        (LOWER, -0.1, 0.05, 30, True),
        (LOWER, -0.1, 0.06, 30, False),
        (LOWER, -0.1, 0.0, 4, False),
        (LOWER, None, None, 30, False),
        (HIGHER, -0.1, 0.2, 30, True),
        (HIGHER, -0.11, 0.9, 30, False),
    ],
)
def test_the_whole_interval_must_lie_on_the_good_side(
    condition: Condition, low: float | None, high: float | None, n: int, passes: bool
) -> None:
    (gate,) = judge([measured(condition.measure, low, high, n=n)], [condition])
    assert gate.passed is passes
    assert (gate.name, gate.threshold, gate.low, gate.high) == (
        condition.measure,
        condition.threshold,
        low,
        high,
    )


def test_a_missing_result_fails() -> None:
    gates = judge([], LANGUAGE_MODEL)
    assert len(gates) == len(LANGUAGE_MODEL)
    assert not any(gate.passed for gate in gates)
    assert {gate.value for gate in gates} == {None}


def test_settings_replace_a_threshold() -> None:
    (gate,) = judge([measured("harm", 0.0, 0.2)], [LOWER], {"harm": 0.3})
    assert (gate.passed, gate.threshold) == (True, 0.3)


def test_every_condition_says_what_it_means() -> None:
    for condition in (*LANGUAGE_MODEL, *DETECTOR):
        assert condition.meaning


def test_a_paired_difference_has_its_interval() -> None:
    found = paired("loss", "nats", "lower", [1.0, 2.0, 3.0, 4.0] * 5, [1.5, 2.6, 3.4, 4.5] * 5)
    assert found.difference.value == pytest.approx(-0.5)
    assert found.difference.low is not None
    assert found.difference.high is not None
    assert found.difference.low < -0.5 < found.difference.high < 0
    assert found.difference.n == 20


def test_turns_of_one_conversation_count_as_one() -> None:
    candidate, champion = [1.0] * 10 + [0.0] * 10, [0.0] * 20
    alone = paired("x", "", "lower", candidate, champion).difference
    clusters = ["a"] * 10 + ["b"] * 10
    together = paired("x", "", "lower", candidate, champion, clusters=clusters).difference
    assert alone.high is not None
    assert together.high is not None
    assert together.high - (together.low or 0) > alone.high - (alone.low or 0)


def test_nothing_measured_is_no_number() -> None:
    assert paired("x", "", "lower", [], []).difference == Estimate(None, None, None, 0)
    assert paired("x", "", "lower", [1.0], [0.5]).difference.high is None
    with pytest.raises(ValueError, match="same prompts"):
        paired("x", "", "lower", [1.0], [])
