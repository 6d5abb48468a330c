from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from monitoring.comparisons import EXACT_HITS, difference, holm, p_value

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_newcombe_s_own_example():
    """Table II of his article, line (a): 56/70 against 48/80."""
    found = difference(56, 70, 48, 80)
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


@given(counts, counts)
def test_the_interval_holds_the_difference_and_turns_with_its_sign(one, other):
    there, back = difference(*one, *other), difference(*other, *one)
    assert there is not None
    assert back is not None
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert there.low == pytest.approx(-back.high)
    assert there.p == pytest.approx(back.p)


@given(counts, counts)
def test_small_counts_have_fisher_s_exact_p(one, other):
    table = [[one[0], one[1] - one[0]], [other[0], other[1] - other[0]]]
    assert p_value(*one, *other) == pytest.approx(fisher_exact(table).pvalue, rel=1e-6, abs=1e-9)


def test_large_counts_go_over_to_the_normal_without_a_step():
    hits, n = EXACT_HITS // 2, 40_000
    exact = p_value(hits - 1, n, hits + 60, n)
    normal = p_value(hits + 1, n, hits + 62, n)
    assert exact == pytest.approx(normal, rel=0.1)


def test_nothing_can_be_compared_with_nothing():
    assert difference(0, 0, 1, 2) is None


def test_holm_s_correction():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_twenty_equal_groups_are_called_different_once_in_twenty_families_or_less():
    chance = random.Random(5)
    called = 0
    for _ in range(300):
        hits = [sum(chance.random() < 0.04 for _ in range(150)) for _ in range(20)]
        total = sum(hits)
        p_values = [p_value(k, 150, total - k, 19 * 150) for k in hits]
        called += min(holm(p_values)) < 0.05
    assert called <= 24, "0.05 of 300 is 15; 24 would be its upper 99 % bound"
