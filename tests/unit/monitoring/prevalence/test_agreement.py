from __future__ import annotations

import pytest

from monitoring.prevalence.agreement import alpha


def test_two_who_always_agree_have_an_alpha_of_one():
    found = alpha([(True, True)] * 15 + [(False, False)] * 15)
    assert (found.value, found.low, found.high, found.n) == (1, 1, 1, 30)


def test_krippendorff_s_example_of_two_observers():
    """Computing Krippendorff's alpha-reliability (2011), A: binary data, 10 units: 0.095."""
    meg = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
    owen = (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    rows = [(bool(a), bool(b)) for a, b in zip(meg, owen, strict=True)]
    # Twice the items change only the correction for a small sample: (n - 1) of 40 labels, not 20.
    assert alpha(rows * 2).value == pytest.approx(1 - (2 * 4 * 2 / 40) * 39 / (2 * 12 * 28 / 40))


def test_too_few_seen_by_two_say_nothing():
    assert alpha([(True,)] * 90 + [(True, False)] * 19).value is None


def test_where_all_is_harmless_nobody_knows_whether_they_would_agree():
    found = alpha([(False, False)] * 40)
    assert found.value is None
    assert "same" in found.note
