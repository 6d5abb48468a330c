"""Who is told when: waits, changes, repeats, silences, escalation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import msgspec

from monitoring.alerts.grouping import Group, Plan, Timing, group_of, plan
from monitoring.alerts.types import Alert, Matcher, Silence, State
from tests.unit.monitoring.alerts.alarms import HOUR, MINUTE, NOW, an_alert

TIMING = Timing(MINUTE, 5 * MINUTE, 4 * HOUR, 30 * MINUTE)


class Told:
    """A run of looks, minute by minute, each knowing what the one before told."""

    def __init__(self, timing: Timing = TIMING) -> None:
        self.groups: Sequence[Group] = ()
        self.silences: Sequence[Silence] = ()
        self.timing = timing

    def look(self, minute: float, *alerts: Alert) -> list[str]:
        done: Plan = plan(
            alerts, self.groups, self.silences, NOW + timedelta(minutes=minute), self.timing
        )
        self.groups = done.groups
        return [
            f"{one.kind} +{len(one.firing)} -{len(one.resolved)} ({len(one.explained)})"
            for one in done.messages
        ]


def resolved(alert: Alert) -> Alert:
    return msgspec.structs.replace(alert, state=State.RESOLVED, resolved_at=NOW)


def acknowledged(alert: Alert) -> Alert:
    return msgspec.structs.replace(alert, state=State.ACKNOWLEDGED, acknowledged_by="maria")


def test_a_group_waits_then_tells_together_what_came_meanwhile():
    told, one, two = Told(), an_alert("block"), an_alert("flag")
    assert told.look(0, one) == []
    assert told.look(1, one, two) == ["change +2 -0 (0)"]
    assert told.look(2, one, two) == []


def test_what_changes_is_told_after_the_interval_and_what_ends_once():
    told, one, two = Told(), an_alert("block"), an_alert("flag")
    told.look(0, one)
    told.look(1, one)
    assert told.look(2, one, two) == []
    assert told.look(6, one, two) == ["change +2 -0 (0)"]
    assert told.look(8, resolved(one), two) == []
    assert told.look(11, resolved(one), two) == ["change +1 -1 (0)"]
    assert told.look(12, two) == []
    assert told.look(17, resolved(two)) == ["change +0 -1 (0)"]
    assert told.look(18) == []
    assert told.groups == ()


def test_what_ended_before_it_was_told_is_never_told():
    told, one = Told(), an_alert()
    told.look(0, one)
    assert told.look(5, resolved(one)) == []
    assert told.groups == ()


def test_what_goes_on_is_repeated_until_somebody_has_it_in_hand():
    told, one = Told(Timing(MINUTE, MINUTE, 4 * HOUR, None)), an_alert()
    told.look(0, one)
    told.look(1, one)
    assert told.look(240, one) == []
    assert told.look(241, one) == ["repeat +1 -0 (0)"]
    assert told.look(2000, acknowledged(one)) == []
    assert told.look(2001, resolved(acknowledged(one))) == ["change +0 -1 (0)"]


def test_silence_holds_the_news_back_and_not_the_end_of_what_was_told():
    told, one = Told(), an_alert("block")
    silence = Silence(
        uuid4(), (Matcher("metric", "=", "block"),), NOW, NOW + HOUR, "maria", "a test"
    )
    told.silences = [silence]
    assert told.look(0, one) == []
    assert told.look(59, one) == []
    told.look(61, one)
    assert told.look(62, one) == ["change +1 -0 (0)"]
    # Told, then silenced for a while: when that ends nothing has changed.
    told.silences = [msgspec.structs.replace(silence, starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)]
    assert told.look(70, one) == []
    assert told.look(121, one) == []
    told.silences = []
    assert told.look(130, resolved(one)) == ["change +0 -1 (0)"]


def test_what_is_explained_is_named_and_does_not_tell_on_its_own():
    told, cause = Told(), an_alert("block")
    effect = an_alert("length", layer=4, inhibited_by=cause.id)
    assert told.look(0, effect) == []
    assert told.look(9, effect) == []
    told.look(10, cause, effect)
    assert told.look(11, cause, effect) == ["change +1 -0 (1)"]
    free = msgspec.structs.replace(effect, inhibited_by=None)
    assert told.look(20, resolved(cause), free) == ["change +1 -1 (0)"]


def test_nobody_answers_and_the_second_channel_is_told_once():
    told, one = Told(), an_alert()
    told.look(0, one)
    told.look(1, one)
    one = msgspec.structs.replace(one, told_at=NOW + MINUTE)
    assert told.look(30, one) == []
    assert told.look(40, acknowledged(one)) == []
    assert told.look(31, one) == ["escalation +1 -0 (0)"]
    escalated = msgspec.structs.replace(one, escalated_at=NOW + 31 * MINUTE)
    assert told.look(32, escalated) == []


def test_what_concerns_jobs_is_one_group():
    failed = an_alert(labels={"alertname": "job_failed", "job": "rates"})
    assert [group_of(one) for one in (an_alert(), an_alert(layer=0), failed)] == [
        "drift",
        "health",
        "monitoring",
    ]
