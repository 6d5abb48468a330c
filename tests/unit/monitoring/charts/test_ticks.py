from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from monitoring.charts.numbers import interval, moment, number, signed, span
from monitoring.charts.spec import Marker
from monitoring.charts.ticks import across, rows_of_labels
from monitoring.charts.vega import specification
from monitoring.types import Window
from tests.factories_charts import DAY, WEEK, a_line

SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("length", "ticks", "form"),
    [
        (DAY / 2, 6, "%H:%M"),
        (DAY, 4, "%H:%M"),
        (7 * DAY, 7, "%a %d"),
        (30 * DAY, 5, "%d %b"),
        (200 * DAY, 7, "%b %Y"),
    ],
)
def test_a_window_has_the_ticks_that_people_expect(length, ticks, form):
    moments, written = across(Window(WEEK.start, WEEK.start + length))
    assert (len(moments), written) == (ticks, form)


def test_a_day_is_named_in_its_middle():
    assert across(WEEK)[0][0] == WEEK.start + DAY / 2


def test_labels_never_overlap_and_turn_at_the_edge():
    at = WEEK.start
    markers = [Marker(at, "policy 9f31c2"), Marker(at + DAY / 4, "model 4"),
               Marker(at + 6.9 * DAY, "template")]  # fmt: skip
    assert rows_of_labels(markers, WEEK, 500) == [(1, False), (0, False), (0, True)]


def test_a_marker_outside_the_window_is_not_drawn():
    chart = msgspec.structs.replace(a_line(), markers=(Marker(WEEK.end, "late"),))
    assert "late" not in str(specification(chart, 500, 170))


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "share", "no data"),
        (0.0, "share", f"0{SPACE}%"),
        (0.0312, "share", f"3.1{SPACE}%"),
        (0.0031, "share", f"0.31{SPACE}%"),
        (-0.0142, "points", f"−1.4{SPACE}pp"),
        (0.25, "seconds", f"250{SPACE}ms"),
        (1.5, "seconds", f"1.50{SPACE}s"),
        (12345, "exchanges", "12,345"),
        (0.83, "kappa", "0.83"),
    ],
)
def test_numbers_are_written_with_their_unit(value, unit, words):
    assert number(value, unit) == words


def test_an_interval_is_written_once_with_its_unit():
    assert interval(0.02, 0.077, "share") == f"2.0 to 7.7{SPACE}%"
    assert interval(-0.01, 0.02, "points") == f"−1.0 to +2.0{SPACE}pp"
    assert interval(None, None, "share") == ""
    assert interval(0.5, 1.5, "seconds") == f"500{SPACE}ms to 1.50{SPACE}s"


def test_nothing_has_no_sign():
    assert [signed(v) for v in (0.001, -1.26, 30)] == ["0.0", "−1.3", "+30.0"]


def test_windows_and_moments_are_written_for_people():
    assert span(WEEK) == "16 to 22 Nov 2026"
    assert span(Window(WEEK.start, WEEK.start + DAY)) == "16 Nov 2026"
    month = Window(datetime(2026, 10, 26, tzinfo=UTC), WEEK.end)
    assert span(month) == "26 Oct to 22 Nov 2026"
    assert span(Window(WEEK.start, WEEK.start + timedelta(hours=6))).endswith("06:00 UTC")
    assert moment(WEEK.start, DAY) == "Mon 16 Nov"
    assert moment(WEEK.start, DAY / 4) == "16 Nov 00:00"
    assert moment("women", None) == "women"
