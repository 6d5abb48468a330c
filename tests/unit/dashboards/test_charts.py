from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.charts import Bucket, round_up, stacked, waterfall
from monitoring.charts.spec import Marker

BEGIN = datetime(2026, 11, 22, 8, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def day(counts: dict[int, dict[str, int]], failed: int = 0) -> list[Bucket]:
    return [Bucket(BEGIN + n * HOUR, counts.get(n, {}), failed) for n in range(24)]


def test_nothing_happened_is_no_chart():
    assert stacked(day({}), HOUR) is None
    assert stacked([], HOUR) is None


def test_bars_stand_on_each_other_mildest_at_the_ground():
    chart = stacked(day({3: {"allow": 60, "flag": 10, "block": 30}}), HOUR)
    bars = chart.columns[3].bars
    assert [bar.kind for bar in bars] == ["allow", "flag", "block"]
    assert bars[0].y + bars[0].height == pytest.approx(chart.ground)
    assert bars[1].y + bars[1].height == pytest.approx(bars[0].y)
    assert bars[2].y == pytest.approx(chart.top)
    assert "60 allow, 10 flag, 30 block" in chart.columns[3].title
    assert "no exchange" in chart.columns[4].title


def test_one_block_among_thousands_can_be_seen():
    bars = stacked(day({0: {"allow": 9_000, "block": 1}}), HOUR).columns[0].bars
    assert bars[1].height >= 2


def test_failed_is_a_part_of_its_bar_and_not_one_more():
    chart = stacked([Bucket(BEGIN, {"allow": 10}, failed=5)], HOUR)
    allow, failed = chart.columns[0].bars
    assert chart.buckets[0].n == 10
    assert failed.y + failed.height == pytest.approx(chart.ground)
    assert failed.height == pytest.approx(allow.height / 2)


def test_ticks_stand_at_the_clock_s_sixth_hours():
    ticks = stacked(day({0: {"allow": 1}}), HOUR).across
    assert [tick.label for tick in ticks] == ["12:00", "18:00", "23 Nov", "06:00"]
    assert ticks[0].at == pytest.approx(100 * (3 + 59 / 60) / 24, abs=0.01)


def test_long_spans_are_ticked_by_day():
    buckets = [Bucket(BEGIN + n * 6 * HOUR, {"allow": 1}) for n in range(28)]
    ticks = stacked(buckets, 6 * HOUR).across
    assert [tick.label for tick in ticks] == [f"{n} Nov" for n in range(23, 30)]


def test_what_happened_stands_above_the_plot_in_rows_that_do_not_meet():
    when = (-1, 3, 4, 23.5, 30)
    markers = [Marker(BEGIN + n * HOUR, f"policy: default@{n}") for n in when]
    plain = stacked(day({3: {"allow": 1}}), HOUR)
    chart = stacked(day({3: {"allow": 1}}), HOUR, markers)
    assert [(one.x, one.turned, one.label[-2:]) for one in chart.markers] == [
        (12.5, False, "@3"),
        (16.67, False, "@4"),
        (97.92, True, ".5"),
    ]
    first, second, last = (one.y for one in chart.markers)
    assert first < second == last < chart.top
    assert chart.top - plain.top == chart.height - plain.height == 30
    assert plain.markers == ()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=60))
def test_no_bar_leaves_the_plot(counts):
    buckets = [
        Bucket(BEGIN + n * HOUR, {"allow": a, "block": b}) for n, (a, b) in enumerate(counts)
    ]
    chart = stacked(buckets, HOUR)
    if chart is None:
        assert not any(a + b for a, b in counts)
        return
    for column in chart.columns:
        for bar in column.bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= 100.05
            assert chart.top - 4.1 <= bar.y <= chart.ground


@given(st.integers(1, 10**12))
def test_axis_ends_at_or_above_the_highest_and_not_far_above(value):
    assert value <= round_up(value) <= 2 * value


def test_waterfall_steps_begin_where_the_last_ended():
    steps = waterfall([("check", 0.25), ("model", 0.5), ("cite", 0.25)])
    assert [(step.x, step.width) for step in steps] == [(0, 25), (25, 50), (75, 25)]
    assert waterfall([]) == ()
    assert waterfall([("model", 0.0)]) == ()
