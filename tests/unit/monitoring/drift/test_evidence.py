"""What evidence does over windows, whatever the streams are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift import evidence


def gather(gains: list[float], **options: object) -> evidence.Evidence:
    state = evidence.nothing((1, 1))
    for window, gain in enumerate(gains):
        state = evidence.add(
            state, np.array([[gain]]), window=window, opens=True, log_cap=50.0, **options
        )
    return state


def test_sum_over_every_day_that_a_bet_may_have_begun():
    state = gather([np.log(2.0), np.log(3.0), np.log(0.5)])
    # Begun on the first day 2 × 3 × 0.5, on the second 3 × 0.5, on the third 0.5.
    assert np.exp(state.log_sr) == pytest.approx(3.0 + 1.5 + 0.5)


def test_a_window_in_which_no_bet_may_begin_only_multiplies():
    state = gather([np.log(2.0)])
    state = evidence.add(state, np.log([[4.0]]), window=1, opens=False, log_cap=50.0)
    assert np.exp(state.log_sr) == pytest.approx(8.0)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_evidence_is_never_more_than_its_cap_and_never_nan(gains: list[float]):
    state = evidence.nothing((1, 1))
    for window, gain in enumerate(gains):
        state = evidence.add(state, np.array([[gain]]), window=window, opens=True, log_cap=3.0)
        assert state.log_sr.max() <= 3.0
        assert not np.isnan(evidence.log_total(state, np.zeros(1))).any()


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=30), st.integers(0, 29))
def test_onset_is_where_the_latest_run_of_wins_opened(gains: list[float], quiet: int):
    state = gather([-1.0] * quiet + gains)
    sums = [sum(gains[at:]) for at in range(len(gains))]
    began = int(evidence.onset(state, np.zeros(1))[0])
    if max(sums) > 0.01:
        assert began >= quiet
        assert sum(gains[began - quiet :]) == pytest.approx(max(sums))


def test_no_evidence_weighs_nothing():
    assert (
        evidence.log_total(evidence.nothing((3, 2)), np.log([0.5, 0.5])).tolist() == [-np.inf] * 3
    )
    state = evidence.Evidence(np.log([[4.0, 8.0]]), np.array([[1.0, 3.0]]), np.array([[5, 9]]))
    assert np.exp(evidence.log_total(state, np.log([0.5, 0.5]))) == pytest.approx(6.0)
    assert evidence.onset(state, np.log([0.5, 0.5])).tolist() == [9]
