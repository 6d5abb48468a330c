"""What does Prometheus see of monitoring? When each job last ran and how, and what is firing.

It is read from Postgres at each scrape, so every monitor says the same, and one that stands by too.
With it somebody else can see that all monitors are gone: nobody else would tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from guardrails.database.url import libpq_url
from monitoring.types import Status

_SECONDS = 5
_RUNS = """
SELECT DISTINCT ON (job) job, status, extract(epoch FROM window_end)::float8,
       extract(epoch FROM finished_at)::float8, extract(epoch FROM finished_at - started_at)::float8
FROM monitor_runs ORDER BY job, window_end DESC
"""
_OPEN = """
SELECT labels->>'alertname', severity, state, inhibited_by IS NOT NULL, count(*)
FROM alerts WHERE state <> 'resolved' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_WAITING = """
SELECT count(*) FILTER (WHERE given_up_at IS NULL), count(*) FILTER (WHERE given_up_at IS NOT NULL)
FROM alert_notifications WHERE sent_at IS NULL AND made_at > now() - interval '7 days'
"""


class Collector:
    """Reads the tables when Prometheus asks. `banister_monitor_up` is 0 where they cannot be."""

    def __init__(self, url: str) -> None:
        self._url = libpq_url(url)

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand now. Cost: one connection and three small queries."""
        up = GaugeMetricFamily("banister_monitor_up", "Whether Postgres could be asked.")
        try:
            with psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=_SECONDS,
                options=f"-c statement_timeout={_SECONDS}s",
            ) as connection:
                found = [*_runs(connection), *_alerts(connection)]
        except psycopg.Error:
            found = []
        up.add_metric([], float(bool(found)))
        return [up, *found]


@contextmanager
def served(url: str, host: str, port: int | None) -> Iterator[None]:
    """Serve `/metrics` in a thread while the block runs; nothing where there is no port."""
    if port is None:
        yield
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(url))  # type: ignore[arg-type]
    server, thread = start_http_server(port, host, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _runs(connection: psycopg.Connection) -> list[Metric]:
    status = GaugeMetricFamily(
        "banister_monitor_job_status", "1 for how a job's last run ended.", labels=["job", "status"]
    )
    window = GaugeMetricFamily(
        "banister_monitor_job_last_window_timestamp_seconds",
        "When the last window that a job looked at ended.",
        labels=["job"],
    )
    finished = GaugeMetricFamily(
        "banister_monitor_job_last_run_timestamp_seconds",
        "When a job last finished.",
        labels=["job"],
    )
    seconds = GaugeMetricFamily(
        "banister_monitor_job_duration_seconds", "How long its last run took.", labels=["job"]
    )
    for job, ended, window_end, at, taken in connection.execute(_RUNS):
        for one in Status:
            status.add_metric([job, one.value], float(one.value == ended))
        window.add_metric([job], window_end)
        finished.add_metric([job], at or 0.0)
        seconds.add_metric([job], taken or 0.0)
    return [status, window, finished, seconds]


def _alerts(connection: psycopg.Connection) -> list[Metric]:
    firing = GaugeMetricFamily(
        "banister_alerts",
        "Open alerts.",
        labels=["alertname", "severity", "state", "inhibited"],
    )
    for name, severity, state, inhibited, count in connection.execute(_OPEN):
        firing.add_metric([name or "", severity, state, str(inhibited).lower()], count)
    unsent = GaugeMetricFamily(
        "banister_alert_notifications_unsent",
        "Messages of a week that no channel took: waiting for another attempt, or given up.",
        labels=["state"],
    )
    waiting, given_up = connection.execute(_WAITING).fetchone() or (0, 0)
    unsent.add_metric(["waiting"], waiting)
    unsent.add_metric(["given_up"], given_up)
    return [firing, unsent]
