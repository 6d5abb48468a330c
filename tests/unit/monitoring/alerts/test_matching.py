"""Which alerts silences fit, and which alerts explain others."""

from __future__ import annotations

from uuid import uuid4

import pytest

from monitoring.alerts.matching import explained_by, fits, parse_matcher, silenced_by
from monitoring.alerts.types import Matcher, Severity, Silence
from tests.unit.monitoring.alerts.alarms import HOUR, NOW, an_alert


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("tenant=acme", True),
        ("tenant=acm", False),
        ("tenant!=acme", False),
        ("route!=support", True),
        ('tenant=~"ac.*"', True),
        ("tenant=~c.*", False),
        ("tenant!~other|more", True),
        ("route=", True),
    ],
)
def test_matchers_as_alertmanager_has_them(text: str, fitting: bool):
    assert fits([parse_matcher(text)], {"tenant": "acme"}) is fitting


@pytest.mark.parametrize("text", ["tenant", "=acme", "tenant=~(", "1tenant=a"])
def test_what_is_no_matcher_is_refused(text: str):
    with pytest.raises(ValueError, match="is no"):
        parse_matcher(text)


def test_a_silence_holds_for_its_time_and_sees_severity_and_job():
    alert = an_alert()
    matchers = (Matcher("severity", "=", "warning"), Matcher("job", "=~", "rate.*"))
    one = Silence(uuid4(), matchers, NOW, NOW + HOUR, "maria", "a test")
    assert silenced_by(alert, [one], NOW) is one
    assert silenced_by(alert, [one], NOW + HOUR) is None
    assert silenced_by(an_alert(severity=Severity.CRITICAL), [one], NOW) is None


ALL, ACME = "all", "tenant=acme"


@pytest.mark.parametrize(
    ("cause", "effect", "explains"),
    [
        (("failed open", ALL, 0), ("block", ACME, 1), True),
        (("block", ALL, 1), ("length", ACME, 4), True),
        (("block", ACME, 1), ("length", ACME, 4), True),
        (("block", ACME, 1), ("length", "tenant=b", 4), False),
        (("block", ACME, 1), ("length", ALL, 4), False),
        (("block", ALL, 1), ("block", ACME, 1), True),
        (("block", ALL, 1), ("flag", ACME, 1), False),
        (("length", ALL, 4), ("block", ALL, 1), False),
    ],
)
def test_an_earlier_layer_explains_a_later_one_of_whatever_job(cause, effect, explains):
    one, other = an_alert(*cause), an_alert(*effect, job="score_drift")
    assert explained_by(other, [one, other]) == (one if explains else None)


def test_what_is_about_a_job_explains_nothing():
    failed = an_alert(labels={"alertname": "job_failed", "job": "rate_drift"})
    drift = an_alert()
    assert explained_by(drift, [failed]) is None
    assert explained_by(failed, [drift]) is None
