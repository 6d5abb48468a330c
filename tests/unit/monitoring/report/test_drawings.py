from __future__ import annotations

import pytest

from monitoring.charts.spec import Kind
from monitoring.report import drawings
from tests.factories_report import a_report

REPORT = a_report()


@pytest.mark.parametrize(
    "draw", [drawings.decisions, drawings.blocked, drawings.grounded, drawings.latency]
)
def test_a_day_without_traffic_has_no_value(draw):
    chart = draw(REPORT)
    assert all(one.points[3].value is None for one in chart.series)
    assert all(len(one.points) == 7 for one in chart.series)


def test_what_changed_is_marked_where_it_may_be_the_cause():
    assert [one.label for one in drawings.blocked(REPORT).markers] == ["policy default@7f3e"]
    assert drawings.latency(REPORT).markers == ()


def test_a_group_with_too_few_stands_there_without_a_value():
    chart = drawings.bias(REPORT, "group")
    assert [(p.at, p.value, p.n) for p in chart.series[0].points] == [
        ("muslims", 0.06, 500), ("jews", None, 40),
    ]  # fmt: skip
    assert chart.n == 540


def test_filters_are_drawn_with_what_is_not_known():
    precision, recall = drawings.filters(REPORT).series
    assert (precision.points[0].value, recall.points[0].value) == (0.9, None)


def test_a_headline_s_weeks_end_with_this_one():
    chart = drawings.weeks(REPORT, REPORT.headlines[1])
    assert chart.kind is Kind.SPARK
    assert chart.series[0].points[-1].at == REPORT.window.start
