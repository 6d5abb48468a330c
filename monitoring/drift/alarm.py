"""What does a finding of the drift tests raise an alarm of?"""

from __future__ import annotations

from datetime import timedelta

from monitoring.drift.watch import Finding
from monitoring.references import start_of
from monitoring.types import Alarm


def alarm_of(finding: Finding | None, length: timedelta) -> Alarm | None:
    """Its alarm, None while it is in none; `length` is that of the job's windows.

    The rank and the tail of one column are one thing to be told of.
    """
    if finding is None or not finding.alarmed:
        return None
    metric = finding.stream.metric.removesuffix(": rank").removesuffix(": tail")
    return Alarm(
        metric, finding.stream.slice, finding.stream.layer, start_of(finding.since, length)
    )
