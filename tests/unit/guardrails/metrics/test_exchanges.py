"""What is counted of an exchange."""

from __future__ import annotations

import time
from statistics import median

from guardrails.metrics.exchanges import Exchanges
from guardrails.metrics.page import page
from guardrails.types import Action, Failure, Stage, Usage, Verdict
from tests.factories import make_blocked, make_check, make_exchange


def counted(*exchanges) -> str:
    counts = Exchanges()
    for exchange in exchanges:
        counts.observe(exchange)
    return page(counts.families(), "")[0].decode()


def test_each_end_of_an_exchange_has_its_own_line():
    text = counted(
        make_exchange(),
        make_exchange(),
        make_blocked(),
        make_blocked(answer={"error": {"code": "content_filter"}}),
        make_exchange(failure=Failure("upstream_error", "No upstream.", 502)),
        make_exchange(abandoned=True),
    )
    for labels, count in (
        ('decision="allow",protocol="chat",route="default",status="200"', 2),
        ('decision="block",protocol="chat",route="default",status="200"', 1),
        ('decision="block",protocol="chat",route="default",status="400"', 1),
        ('decision="error",protocol="chat",route="default",status="502"', 1),
        ('decision="allow",protocol="chat",route="default",status="499"', 1),
    ):
        assert f"banister_requests_total{{{labels}}} {count}.0" in text


def test_failures_of_the_guard_and_what_passed_in_spite_of_them():
    failed = make_check(error="the deadline passed", detections=())
    text = counted(
        make_exchange(checks=(failed,), uncovered=("messages[0]: image",)),
        make_exchange(checks=(failed,), verdict=Verdict(Action.BLOCK)),
        make_exchange(checks=(failed,), failure=Failure("guard_unavailable", "Later.", 503)),
        make_exchange(unrecorded=True),
    )
    assert 'banister_guard_failures_total{detector="toxicity",side="input"} 3.0' in text
    assert 'banister_guard_failed_open_total{route="default"} 1.0' in text
    assert 'banister_uncovered_total{route="default"} 1.0' in text
    assert 'banister_unrecorded_total{route="default"} 1.0' in text


def test_times_and_tokens_by_what_the_configuration_names():
    seconds = {"check_input": 0.002, "model": 0.8, "total": 0.81}
    text = counted(
        make_exchange(
            model="a name that a caller invented",
            seconds=seconds,
            usage=Usage(60, 200),
            upstream_model="small@7",
        )
    )
    assert 'banister_step_duration_seconds_bucket{le="0.0025",step="check_input"} 1.0' in text
    assert 'banister_step_duration_seconds_sum{step="model"} 0.8' in text
    assert 'banister_request_duration_seconds_count{protocol="chat",route="default"} 1.0' in text
    assert 'banister_detector_duration_seconds_count{detector="toxicity",side="input"} 1.0' in text
    assert 'banister_tokens_total{model="small@7",type="output"} 200.0' in text
    assert "invented" not in text


def test_counting_costs_microseconds():
    """Budget: 10 µs of CPU an exchange; twice that here, for a machine that others use as well."""
    exchange = make_exchange(
        checks=tuple(make_check(detector=d, side=s) for d in "abc" for s in Stage if s in "input"),
        seconds=dict.fromkeys(("check_input", "format", "model", "check_output", "total"), 0.01),
        usage=Usage(60, 200),
    )
    counts = Exchanges()
    took = []
    for _ in range(20):
        began = time.process_time()
        for _ in range(500):
            counts.observe(exchange)
        took.append((time.process_time() - began) / 500)
    assert median(took) < 20e-6, f"{median(took) * 1e6:.1f} µs"
