from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitoring.report.week import WEEK, before, name_of, window_of
from monitoring.types import Window

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


def test_a_week_runs_from_monday_to_monday_in_utc():
    assert window_of("2026-W47") == Window(MONDAY, MONDAY + WEEK)
    assert window_of("2026-w47") == window_of("2026W47") == window_of("2026-W47")


def test_the_first_days_of_a_year_may_belong_to_the_last_week_of_the_one_before():
    assert window_of("2026-W53").start == datetime(2026, 12, 28, tzinfo=UTC)
    assert name_of(window_of("2026-W53")) == "2026-W53"


@pytest.mark.parametrize("name", ["2026-47", "2025-W53", "last", "2026-W00"])
def test_a_week_that_is_none_is_refused(name):
    with pytest.raises(ValueError):
        window_of(name)


@pytest.mark.parametrize(
    "span",
    [
        Window(MONDAY, MONDAY + timedelta(days=6)),
        Window(MONDAY + timedelta(days=1), MONDAY + timedelta(days=8)),
        Window(MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=1) + WEEK),
    ],
)
def test_a_span_that_is_no_week_has_no_name(span):
    with pytest.raises(ValueError, match="no week"):
        name_of(span)


def test_the_weeks_before_come_oldest_first():
    assert [name_of(w) for w in before(window_of("2026-W02"), 3)] == [
        "2025-W51", "2025-W52", "2026-W01",
    ]  # fmt: skip
