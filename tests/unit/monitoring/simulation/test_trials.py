"""The simulation in small: the product's tests stay calm, and find what was put there."""

import numpy as np
import pytest

from monitoring.simulation import prompts, trials
from monitoring.simulation.trials import SCENARIOS, false_alarms, found, poisson_upper


def quiet(done: int) -> None:
    assert done >= 0


def test_months_without_drift_are_quiet_and_evidently_is_not():
    seen = false_alarms(20, np.random.default_rng(1), quiet, a_day=400)
    assert seen.streams == 785
    assert seen.alarms <= 3
    assert seen.high >= seen.a_month
    assert seen.evidently_slices > 100 > 10 > seen.a_month


def test_a_doubled_rate_is_found_within_days():
    seen = found(SCENARIOS[0], 40, np.random.default_rng(2), quiet)
    assert seen.power == 1.0
    assert seen.median_days is not None
    assert seen.median_days <= 3.5


def test_a_column_that_moved_is_found():
    longer = next(one for one in SCENARIOS if one.name.startswith("prompts"))
    seen = found(longer, 10, np.random.default_rng(3), quiet)
    assert seen.power == 1.0


@pytest.mark.slow
def test_a_new_topic_is_found_and_shown():
    trial = prompts.month(np.random.default_rng(4), new=0.05, days=3, stop=True)
    assert trial.day is not None
    assert trial.day <= 2
    assert trial.shown


@pytest.mark.parametrize(("count", "expected"), [(0, 3.689), (1, 5.572), (10, 18.39)])
def test_upper_bound_of_a_count(count: int, expected: float):
    assert poisson_upper(count) == pytest.approx(expected, abs=0.01)
    assert trials.poisson_upper(0, 0.95) == pytest.approx(2.996, abs=0.01)
