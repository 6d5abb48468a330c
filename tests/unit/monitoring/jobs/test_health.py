"""Data health of a window, without a database."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from monitoring.jobs.health import EVERY, LAG_SECONDS, Counted, judge
from monitoring.types import Status, Window

START = datetime(2026, 11, 26, 12, tzinfo=UTC)
WINDOW = Window(START, START + EVERY)
WELL = Counted(1_000, 0, 0, 2.0, 0, 0)


def test_all_checked_and_recorded_is_ok_and_so_is_no_traffic():
    assert judge(WELL, WINDOW).status is Status.OK
    quiet = judge(Counted(0, 0, 0, 0.0, 0, 0), WINDOW)
    assert quiet.status is Status.OK
    assert {f.status for f in quiet.figures} == {Status.OK, Status.NO_DATA}


@pytest.mark.parametrize(
    ("change", "name", "critical"),
    [
        ({"failed_open": 1}, "failed open", False),
        ({"failed_open": 10}, "failed open", True),
        ({"unavailable": 4}, "guard unavailable", False),
        ({"rejected": 1}, "records rejected", True),
        ({"lost": 7}, "records lost in all", True),
        ({"lag_seconds": LAG_SECONDS + 1}, "log lag", False),
    ],
)
def test_each_thing_that_must_not_be_is_an_alarm_of_the_first_layer(change, name, critical):
    outcome = judge(msgspec.structs.replace(WELL, **change), WINDOW)
    assert outcome.status is Status.DRIFT
    (wrong,) = (figure for figure in outcome.figures if figure.status is Status.DRIFT)
    assert wrong.alarm is not None
    assert (wrong.name, wrong.alarm.layer, wrong.alarm.critical) == (name, 0, critical)


def test_what_was_lost_before_is_told_once():
    assert judge(msgspec.structs.replace(WELL, lost=7, lost_before=7), WINDOW).status is Status.OK
