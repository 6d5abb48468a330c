"""Which state of the runs is an alert."""

from __future__ import annotations

import pytest

from monitoring.alerts.rules import SETTLE, seen
from monitoring.alerts.types import Severity
from monitoring.types import Alarm, Figure, Status
from tests.unit.monitoring.alerts.alarms import (
    EVERY,
    HOUR,
    MINUTE,
    NOW,
    a_figure,
    a_run,
    a_standing,
)


def test_each_metric_and_slice_in_alarm_is_one_signal_with_its_evidence():
    told = a_figure("block", "tenant=acme")
    twice = a_figure("block", "tenant=acme", name="block tail", value=None)
    calm = a_figure("flag", status=Status.OK, alarm=None)
    cluster = Figure("cluster 1", 12, "prompts", 300, Status.DRIFT, note="no alarm of its own")
    run = a_run(Status.DRIFT, a_figure(), told, twice, calm, cluster)
    found = seen([a_standing(run)], NOW).signals
    assert [one.key for one in found] == [
        "drift:rate_drift:block:all",
        "drift:rate_drift:block:tenant=acme",
    ]
    everything, acme = found
    assert everything.summary == (
        "block: 8.00% (5.00% to 11.00%), n = 400, since 2026-11-26 00:00 UTC"
    )
    assert acme.labels == {
        "alertname": "drift",
        "job": "rate_drift",
        "layer": "1",
        "metric": "block",
        "slice": "tenant=acme",
        "tenant": "acme",
    }
    assert acme.evidence.figures == (told, twice, cluster)
    assert acme.evidence.reproduce == ("banister monitor rate_drift --at 2026-11-26T12:00 --again",)
    assert acme.severity is Severity.WARNING


def test_the_first_layer_is_about_health_and_may_be_critical():
    alarm = Alarm("failed open", critical=True)
    run = a_run(Status.DRIFT, a_figure(alarm=alarm), job="health")
    (found,) = seen([a_standing(run)], NOW).signals
    assert (found.labels["alertname"], found.severity) == ("health", Severity.CRITICAL)


@pytest.mark.parametrize("status", [Status.NO_DATA, Status.FAILED])
def test_what_was_not_measured_is_neither_a_signal_nor_good_news(status: Status):
    found = seen([a_standing(a_run(status, a_figure()))], NOW)
    assert "drift:rate_drift" not in found.measured
    assert all("drift" not in one.key.split(":")[0] for one in found.signals)


def test_a_failed_job_is_a_warning_and_critical_once_nothing_was_measured_for_long():
    run = a_run(Status.FAILED)
    (found,) = seen([a_standing(run, measured_until=NOW - EVERY)], NOW).signals
    assert (found.key, found.severity) == ("job_failed:rate_drift", Severity.WARNING)
    (found,) = seen([a_standing(run, measured_until=NOW - 3 * EVERY)], NOW).signals
    assert found.severity is Severity.CRITICAL


GRACE = EVERY / 24


@pytest.mark.parametrize(
    ("after", "severity"),
    [
        (EVERY, None),
        (EVERY + SETTLE + GRACE, None),
        (EVERY + SETTLE + GRACE + MINUTE, Severity.WARNING),
        (3 * EVERY + SETTLE + GRACE + MINUTE, Severity.CRITICAL),
    ],
)
def test_a_job_is_late_when_its_window_ended_long_ago(after, severity):
    found = seen([a_standing(a_run(Status.OK))], NOW + after).signals
    assert [one.severity for one in found] == ([] if severity is None else [severity])


def test_a_job_that_never_ran_is_late_once_others_have_for_long():
    never = a_standing(None)
    assert seen([never], NOW + EVERY).signals == ()
    (found,) = seen([never], NOW + 2 * EVERY).signals
    assert found.key == "job_late:rate_drift"
    assert seen([a_standing(None, first_known=None)], NOW + 9 * EVERY).signals == ()


def test_silence_is_news_once_its_budget_is_spent_but_not_before_the_first_judgement():
    quiet = a_run(Status.NO_DATA)
    in_time = a_standing(quiet, measured_until=NOW - 3 * EVERY)
    assert seen([in_time], NOW).signals == ()
    (found,) = seen([a_standing(quiet, measured_until=NOW - 4 * EVERY)], NOW).signals
    assert found.key == "job_silent:rate_drift"
    assert "since 2026-11-25 12:00" in found.summary
    assert seen([a_standing(quiet, measured_until=None)], NOW).signals == ()
    short = a_standing(quiet, every=HOUR, measured_until=NOW - 5 * HOUR)
    assert seen([short], NOW).signals == ()
