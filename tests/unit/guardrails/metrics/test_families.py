"""Metrics and how those of several workers add up."""

from __future__ import annotations

import pytest

from guardrails.metrics.families import SECONDS, Histogram, counter, gauge, histogram, merged
from guardrails.metrics.page import page


def value(families, name: str) -> float:
    body, _ = page(families, "")
    (line,) = (line for line in body.decode().splitlines() if line.startswith(name + " "))
    return float(line.rpartition(" ")[2])


def test_buckets_are_cumulative_and_bounds_belong_to_the_lower_one():
    times = Histogram()
    for seconds in (0.0005, 0.003, 0.003, 120.0):
        times.observe(seconds)
    family = histogram("t_seconds", "Times.", ("route",), {("default",): times})
    assert value([family], 't_seconds_bucket{le="0.0005",route="default"}') == 1
    assert value([family], 't_seconds_bucket{le="0.005",route="default"}') == 3
    assert value([family], 't_seconds_bucket{le="60.0",route="default"}') == 3
    assert value([family], 't_seconds_bucket{le="+Inf",route="default"}') == 4
    assert value([family], 't_seconds_sum{route="default"}') == pytest.approx(120.0065)
    assert len(times.counts) == len(SECONDS) + 1


def test_workers_add_up_but_the_worst_of_a_lag_counts():
    one = [
        counter("c", "Counts.", ("a",), {("x",): 2, ("y",): 1}),
        gauge("lag", "Lag.", (), {(): 3.0}, worst=True),
    ]
    other = [
        counter("c", "Counts.", ("a",), {("x",): 5}),
        gauge("lag", "Lag.", (), {(): 7.0}, worst=True),
    ]
    both = merged([one, other])
    assert value(both, 'c_total{a="x"}') == 7
    assert value(both, 'c_total{a="y"}') == 1
    assert value(both, "lag") == 7


def test_openmetrics_is_spoken_where_it_is_asked_for():
    families = [counter("c", "Counts.", (), {(): 1})]
    body, content_type = page(families, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert page(families, "*/*")[1].startswith("text/plain")
