"""What a finding raises an alarm of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitoring.drift.alarm import alarm_of
from monitoring.drift.family import Stream
from monitoring.drift.watch import Finding
from monitoring.references import number_of
from monitoring.types import Alarm

DAY = timedelta(days=1)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def test_rank_and_tail_of_a_column_are_one_thing_with_its_date():
    for metric in ("length in: rank", "length in: tail", "length in"):
        finding = Finding(Stream(4, metric, "route=a"), True, 2.0, number_of(MONDAY, DAY), None)
        assert alarm_of(finding, DAY) == Alarm("length in", "route=a", 4, MONDAY)


def test_what_is_in_no_alarm_raises_none():
    assert alarm_of(Finding(Stream(1, "block"), False, -2.0, 0, None), DAY) is None
    assert alarm_of(None, DAY) is None
