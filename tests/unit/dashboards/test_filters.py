from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.filters import SPANS, Filters, read_filters
from guardrails.errors import BadRequest

NOW = datetime(2026, 11, 23, 7, 40, 12, 345, tzinfo=UTC)
AT = datetime(2026, 11, 22, 7, 5, tzinfo=UTC)
NAMES = st.none() | st.text(min_size=1, max_size=200).map(str.strip).filter(bool)


@given(span=st.none() | st.sampled_from(sorted(SPANS)), route=NAMES, model=NAMES, tenant=NAMES)
def test_what_is_chosen_is_read_back_from_the_address(span, route, model, tenant):
    filters = Filters(span=span, route=route, model=model, tenant=tenant)
    assert read_filters(filters.chosen) == filters


def test_a_fixed_time_is_read_back_and_stands_over_a_span():
    filters = Filters(since=AT, until=NOW.replace(second=0, microsecond=0))
    assert read_filters(filters.chosen) == filters
    assert read_filters({**filters.chosen, "span": "7d"}).span is None
    assert filters.window(NOW).start == AT


@pytest.mark.parametrize(
    "query",
    [
        {"span": "forever"},
        {"since": "2026-11-23T00:00"},
        {"since": "yesterday", "until": "2026-11-23"},
        {"since": "2026-11-23", "until": "2026-11-22"},
        {"route": "x" * 201},
        {"since": "0001-01-01T00:00+23:59", "until": "2026-11-23"},
    ],
)
def test_what_has_no_sense_is_a_bad_request(query):
    with pytest.raises(BadRequest):
        read_filters(query)


def test_a_span_of_a_day_is_of_whole_hours_and_a_shorter_one_of_minutes():
    day = Filters().window(NOW)
    assert (day.end, day.end - day.start) == (
        datetime(2026, 11, 23, 8, tzinfo=UTC),
        timedelta(days=1),
    )
    assert Filters(span="1h").window(NOW).end == datetime(2026, 11, 23, 7, 41, tzinfo=UTC)
    assert Filters().window(NOW, usual="7d").start == day.end - timedelta(days=7)


def test_every_link_carries_the_choice_and_may_add_or_take_away():
    filters = Filters(span="7d", route="a b")
    assert filters.carry("/") == "/?span=7d&route=a+b"
    assert filters.carry("/x#y", decision="block", route=None) == "/x?span=7d&decision=block#y"
    assert Filters().carry("/x") == "/x"
