from __future__ import annotations

import numpy as np

from monitoring.rollout.simulate import SCENARIOS, Scenario, run, trial


def test_a_rollout_of_a_version_that_is_alike_reaches_its_end():
    assert trial(Scenario("alike"), np.random.default_rng(3)) is None


def test_one_that_always_fails_is_found_in_the_first_step():
    mine, everybody, share = trial(Scenario("fails", {"error": 1.0}), np.random.default_rng(3))
    assert mine <= 12
    assert everybody < 2_000
    assert share == 0.01


def test_every_scenario_has_its_row():
    assert [result.name for result in run(1, 3)] == [scenario.name for scenario in SCENARIOS]
