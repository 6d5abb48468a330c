import numpy as np

from guardrails.evaluation.compare import compare

RNG = np.random.default_rng(5)
TRUTH = RNG.random(400) < 0.4
GOOD = RNG.normal(TRUTH * 2.0, 1)


def test_a_clearly_worse_version_is_surely_worse() -> None:
    worse = RNG.normal(TRUTH * 0.3, 1)
    found = {d.measure: d for d in compare(GOOD, worse, TRUTH, (1, 1), resamples=200)}
    assert found["AUC"].sure and found["AUC"].difference.low > 0.1


def test_a_version_is_no_better_than_itself() -> None:
    for found in compare(GOOD, GOOD, TRUTH, (1, 1), resamples=50):
        assert found.difference.low == found.difference.high == 0
        assert not found.sure


def test_without_harmful_rows_only_false_positives_are_compared() -> None:
    found = compare(GOOD, GOOD, np.zeros(400, bool), (1, 2), resamples=50)
    assert [d.measure for d in found] == ["false positives at the threshold"]
    assert found[0].difference.value > 0
