"""When jobs are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitoring.trigger import AfterWindow

DAY, SETTLE = timedelta(days=1), timedelta(minutes=2)


@pytest.mark.parametrize(
    ("every", "before", "now", "due"),
    [
        (DAY, None, (26, 18, 15), (27, 0, 2)),
        (DAY, (26, 18, 15), (26, 18, 15), (27, 0, 2)),
        (DAY, (27, 0, 2), (27, 0, 2), (28, 0, 2)),
        (DAY / 4, (26, 18, 15), (26, 18, 16), (27, 0, 2)),
        (DAY / 24, None, (26, 18, 1), (26, 18, 2)),
        # Missed times are one: the records say which windows lack a run.
        (DAY / 24, (26, 3, 2), (26, 18, 30), (26, 19, 2)),
        (7 * DAY, None, (26, 18, 15), (30, 0, 2)),
    ],
)
def test_a_job_is_due_after_its_windows_whenever_its_scheduler_began(every, before, now, due):
    def at(moment):
        return None if moment is None else datetime(2026, 11, *moment, tzinfo=UTC)

    assert AfterWindow(every, SETTLE).get_next_fire_time(at(before), at(now)) == at(due)
