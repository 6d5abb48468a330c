from __future__ import annotations

import random

import pytest

from monitoring.report.changes import corrected, order_statistics, quantile, share
from monitoring.report.document import Category


def test_a_share_is_held_against_all_four_weeks_before():
    one = share("Blocked", [10, 0, 20, 10, 40], [1000, 0, 2000, 1000, 1000])
    assert one.value == 0.04
    assert one.weeks == (0.01, None, 0.01, 0.01, 0.04)
    assert (one.change.before, one.change.before_n) == (0.01, 4000)
    assert one.change.low < 0.03 < one.change.high


def test_nothing_before_is_no_change_and_nothing_now_is_no_data():
    first = share("Blocked", [0, 5], [0, 100])
    assert (first.change.before, first.change.p) == (None, None)
    gone = share("Blocked", [5, 0], [100, 0])
    assert (gone.value, gone.low, gone.change.p) == (None, None, None)


def test_in_weeks_without_a_change_hardly_one_in_twenty_calls_any():
    chance = random.Random(8)
    called = 0
    for _ in range(200):
        numbers = [
            share(str(n), [sum(chance.random() < 0.05 for _ in range(300)) for _ in range(5)],
                  [300] * 5)
            for n in range(8)
        ]  # fmt: skip
        settled, _, tested = corrected(numbers, [])
        assert tested == 8
        called += any(one.change.changed for one in settled)
    assert called <= 18, "10 of 200 are expected at most; 18 is their 99 % bound"


def test_the_correction_runs_over_headlines_and_categories_together():
    number = share("Blocked", [10, 24], [1000, 1000])
    alone, _, _ = corrected([number], [])
    many, sorted_out, tested = corrected([number], [Category("x", "block", number)] * 9)
    assert tested == 10
    assert many[0].change.p == pytest.approx(10 * alone[0].change.p)
    assert not many[0].change.changed
    assert sorted_out[0].number.change.p is not None


def test_a_quantile_is_bounded_by_order_statistics():
    low, middle, high = order_statistics(0.95, 1000)
    assert (round(low, 4), middle, round(high, 4)) == (0.9365, 0.95, 0.9635)
    assert order_statistics(0.95, 3)[2] == 1.0
    chance = random.Random(2)
    covered = 0
    for _ in range(300):
        drawn = sorted(chance.random() for _ in range(200))
        at = [drawn[min(199, int(q * 200))] for q in order_statistics(0.5, 200)]
        covered += at[0] <= 0.5 <= at[2]
    assert covered >= 0.93 * 300


def test_a_time_that_moved_far_is_told_from_one_that_did_not():
    still = quantile("p95", [0.9, 1.0, 1.1], 500, [0.95, 1.02, 1.08], 2000)
    moved = quantile("p95", [1.9, 2.0, 2.1], 500, [0.95, 1.02, 1.08], 2000)
    assert still.change.p > 0.5
    assert moved.change.p < 1e-6
    assert quantile("p95", None, 0, None, 0).value is None
    assert quantile("p95", [1.0, 1.0, 1.0], 3, None, 0).change is None
