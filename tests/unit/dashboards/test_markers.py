"""What is told of on a chart, and what of it gives way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from dashboards.filters import Filters
from dashboards.markers import CHARACTERS, MOST, chosen, of_alerts, of_changes, of_releases
from monitoring.alerts.types import Alert, Evidence, Severity, State
from monitoring.policies import Release
from monitoring.rollout.records import Change

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
ALL = Filters()


def alert(summary: str, **values: object) -> Alert:
    fields = {
        "id": uuid4(), "key": "k", "job": "rate_drift", "severity": Severity.WARNING,
        "state": State.FIRING, "labels": {}, "summary": summary, "evidence": Evidence(),
        "started_at": NOW, "updated_at": NOW, **values,
    }  # fmt: skip
    return Alert(**fields)


def change(kind: str, share: float = 0.05, hours: int = 0) -> Change:
    return Change(NOW + timedelta(hours=hours), kind, share, "small", "small@2")


def labels(found: list) -> list[str]:
    return [one.label for one in found]


def test_releases_say_which_policy_and_whether_it_is_in_shadow():
    releases = [
        Release("enforce", "0123456789ab", "default", "ada", "why", NOW),
        Release("shadow", "ba9876543210", "strict", "ada", "why", NOW),
        Release("enforce", None, None, "ada", "why", NOW),
    ]
    assert labels(of_releases(releases)) == [
        "policy: default@012345",
        "shadow: strict@ba9876",
        "policy: back to the files",
    ]


def test_a_rollout_says_its_shares_and_its_end_and_no_pause():
    changes = [change("started", 0.01), change("paused"), change("step", 0.25)]
    changes += [change("promoted", 1.0), change("rolled_back", 0.0)]
    assert labels(of_changes(changes, ALL)) == [
        "small@2 at 1 %",
        "small@2 at 25 %",
        "small@2 promoted",
        "small@2 rolled back",
    ]
    assert of_changes(changes, Filters(model="large")) == []
    assert len(of_changes(changes, Filters(model="small"))) == 4


def test_alerts_are_of_the_chosen_part_and_explained_by_no_other():
    found = [
        alert("blocks rose", labels={"route": "support"}),
        alert("all is slow"),
        alert("explained", inhibited_by=uuid4()),
    ]
    assert labels(of_alerts(found, ALL)) == ["alert: blocks rose", "alert: all is slow"]
    assert labels(of_alerts(found, Filters(route="chat"))) == ["alert: all is slow"]
    assert len(of_alerts(found, Filters(route="support"))) == 2
    assert len(labels(of_alerts([alert("long " * 30)], ALL))[0]) <= CHARACTERS


def test_too_many_leave_out_the_steps_first_and_stand_in_their_order():
    steps = [change("step", n / 100, n) for n in range(1, 2 * MOST)]
    worst = alert("it is bad", severity=Severity.CRITICAL, started_at=NOW + timedelta(hours=3))
    found = of_changes([*steps, change("rolled_back", 0.0, 1)], ALL) + of_alerts([worst], ALL)
    kept = chosen(found)
    assert len(kept) == MOST
    assert [one.label for one in kept[:2]] == ["small@2 rolled back", "alert: it is bad"]
    assert list(kept) == sorted(kept, key=lambda one: one.at)
    assert kept[-1].label == "small@2 at 23 %"
    assert chosen([]) == ()
