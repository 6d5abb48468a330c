"""What becomes of alerts when the rules have looked again."""

from __future__ import annotations

from uuid import uuid4

import msgspec

from monitoring.alerts.lifecycle import MOST_IDS, advance
from monitoring.alerts.rules import Seen
from monitoring.alerts.types import Severity, State
from tests.unit.monitoring.alerts.alarms import HOUR, MINUTE, NOW, a_signal, an_alert

MEASURED = frozenset(["drift:rate_drift"])
LATER = NOW + HOUR


def test_a_signal_fires_once_and_goes_on_without_news():
    seen = Seen((a_signal(),), MEASURED)
    (fired,) = advance([], seen, NOW, uuid4)
    assert (fired.kinds, fired.alert.state, fired.is_new) == (("fired",), State.FIRING, True)
    (on,) = advance([fired.alert], seen, LATER, uuid4)
    assert on.kinds == ()
    assert on.alert == fired.alert


def test_an_alert_ends_by_good_news_and_never_by_silence():
    for state in (State.FIRING, State.ACKNOWLEDGED):
        alert = an_alert(state=state)
        (unknown,) = advance([alert], Seen((), frozenset()), LATER, uuid4)
        assert unknown.alert == alert
        (ended,) = advance([alert], Seen((), MEASURED), LATER, uuid4)
        assert (ended.kinds, ended.alert.state) == (("resolved",), State.RESOLVED)
        assert ended.alert.resolved_at == LATER


def test_what_is_clear_for_minutes_only_may_be_flapping():
    alert = an_alert()
    for minutes, state in ((14, State.FIRING), (15, State.RESOLVED)):
        (change,) = advance([alert], Seen((), MEASURED), NOW + minutes * MINUTE, uuid4)
        assert change.alert.state is state


def test_evidence_gathers_and_an_alert_grows_worse_but_not_better():
    first = a_signal(
        evidence=msgspec.structs.replace(a_signal().evidence, exchange_ids=("a", "b"), since=NOW)
    )
    (fired,) = advance([], Seen((first,), MEASURED), NOW, uuid4)
    many = tuple(str(number) for number in range(50))
    worse = a_signal(
        severity=Severity.CRITICAL,
        evidence=msgspec.structs.replace(
            a_signal().evidence, exchange_ids=("b", *many), since=LATER
        ),
    )
    (change,) = advance([fired.alert], Seen((worse,), MEASURED), LATER, uuid4)
    assert change.kinds == ("worsened",)
    assert change.alert.evidence.exchange_ids[:4] == ("a", "b", "0", "1")
    assert len(change.alert.evidence.exchange_ids) == MOST_IDS
    assert change.alert.evidence.since == NOW
    (better,) = advance([change.alert], Seen((first,), MEASURED), LATER, uuid4)
    assert better.alert.severity is Severity.CRITICAL


def test_earlier_layers_inhibit_later_ones_until_they_end():
    both = (a_signal("refusal", layer=2), a_signal("failed open", layer=0))
    drift, health = advance([], Seen(both, MEASURED), NOW, uuid4)
    assert drift.alert.inhibited_by == health.alert.id
    assert drift.kinds == ("fired", "inhibited")
    assert health.alert.inhibited_by is None
    left, ended = advance(
        [drift.alert, health.alert], Seen(both[:1], MEASURED), LATER, uuid4
    )  # fmt: skip
    assert ended.alert.state is State.RESOLVED
    assert (left.kinds, left.alert.inhibited_by) == (("uninhibited",), None)
