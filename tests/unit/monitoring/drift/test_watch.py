"""A family of streams, window by window."""

import numpy as np

from monitoring.drift.family import Stream
from monitoring.drift.watch import Part, advance

STREAMS = (Stream(1, "block"), Stream(1, "flag"))


def part(*gains: float) -> Part:
    return Part(STREAMS, np.array(gains)[:, None], np.zeros(1))


def test_evidence_adds_up_to_an_alarm_with_its_date():
    state, findings = advance([part(0.0, -1.0)], None, window=100, opens=True)
    assert not any(finding.alarmed for finding in findings)
    for window in range(101, 104):
        state, findings = advance([part(3.0, -1.0)], state, window=window, opens=True)
    assert [finding.alarmed for finding in findings] == [True, False]
    assert findings[0].since in (100, 101)
    assert findings[0].strength > 0 > findings[1].strength
    assert findings[0].explained_by is None


def test_a_window_that_is_run_again_gives_the_same():
    state, _ = advance([part(1.0, 0.5)], None, window=1, opens=True)
    once, first = advance([part(1.0, 0.5)], state, window=2, opens=True)
    again, second = advance([part(1.0, 0.5)], state, window=2, opens=True)
    assert first == second
    assert all(np.array_equal(once[name], again[name]) for name in once)
