from datetime import UTC, datetime, timedelta

import pytest

from monitoring.references import number_of, phase_of, start_of

SIX_HOURS, DAY = timedelta(hours=6), timedelta(days=1)


@pytest.mark.parametrize(
    ("start", "length", "phase"),
    [
        (datetime(2026, 11, 23, tzinfo=UTC), DAY, 0),
        (datetime(2026, 11, 29, tzinfo=UTC), DAY, 6),
        (datetime(2026, 11, 23, 18, tzinfo=UTC), SIX_HOURS, 3),
        (datetime(2026, 11, 24, tzinfo=UTC), SIX_HOURS, 4),
    ],
)
def test_phases_begin_on_monday(start: datetime, length: timedelta, phase: int):
    number = number_of(start, length)
    assert phase_of(number, length) == phase
    assert start_of(number, length) == start
