"""A figure in words."""

from __future__ import annotations

import pytest

from dashboards.numbers import number_of, share_headline
from monitoring.types import Figure, Status


@pytest.mark.parametrize(
    ("figure", "value", "interval"),
    [
        (
            Figure("block rate", 0.032, "share", 250, low=0.0167, high=0.0604),
            "3.2\xa0%",
            "1.7–6.0 %",
        ),
        (Figure("distance", 0.1234, "distance", 900), "0.123 distance", ""),
        (Figure("p95", 2.5, "seconds", 90, low=2.25, high=2.75), "2.5 seconds", "2.25–2.75"),
        (Figure("block rate", None, "share", 3, Status.NO_DATA), None, ""),
    ],
)
def test_a_figure_keeps_its_unit_its_interval_and_its_n(figure, value, interval):
    shown = number_of(figure)
    assert (shown.value, shown.interval, shown.n) == (value, interval, str(figure.n))
    assert shown.status == figure.status.value


def test_a_headline_says_of_how_many_and_of_nothing_it_is_no_data():
    shown = share_headline("Supported", 3, 4, of="answers")
    assert (shown.value, shown.lines[0]) == ("75.0\xa0%", "3 of n = 4 answers")
    assert shown.lines[1].startswith("interval ")
    assert share_headline("Blocked", 1, 4).lines[0] == "1 of n = 4"
    assert share_headline("Supported", 0, 0, of="answers").value is None
