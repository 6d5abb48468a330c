from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.types import Window
from monitoring.windows import full_since, last_full

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)


def test_last_full_hour_is_the_one_before_this():
    assert last_full(HOUR, NOW) == Window(NOW.replace(hour=6, minute=0), NOW.replace(minute=0))


def test_last_full_day_is_a_day_of_utc_whatever_the_zone_asked_in():
    at = datetime(2026, 11, 23, 1, 30, tzinfo=timezone(timedelta(hours=5)))
    assert last_full(DAY, at).end == datetime(2026, 11, 22, tzinfo=UTC)


def test_a_week_begins_on_monday():
    assert last_full(7 * DAY, NOW).start == datetime(2026, 11, 16, tzinfo=UTC)


def test_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="zone"):
        last_full(HOUR, NOW.replace(tzinfo=None))


def test_standstill_is_caught_up_oldest_first_and_only_so_far():
    since = NOW.replace(minute=0) - 5 * HOUR
    assert [w.start.hour for w in full_since(HOUR, since, NOW, limit=48)] == [2, 3, 4, 5, 6]
    assert [w.start.hour for w in full_since(HOUR, since, NOW, limit=2)] == [5, 6]
    assert full_since(HOUR, NOW.replace(minute=0), NOW, limit=48) == []


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([timedelta(minutes=5), HOUR, DAY, 7 * DAY]),
)
def test_last_full_window_has_ended_and_the_next_has_not(at: datetime, period: timedelta):
    window = last_full(period, at)
    assert window.end - window.start == period
    assert window.end <= at < window.end + period
