"""What Prometheus sees of monitoring."""

from __future__ import annotations

from urllib.request import urlopen

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.launch.addresses import free_port
from monitoring import runs
from monitoring.alerts.evaluate import Channels, evaluate
from monitoring.alerts.grouping import Timing
from monitoring.metrics import served
from monitoring.types import Status
from tests.unit.monitoring.alerts.alarms import EVERY, NOW, a_figure, a_run


def scraped(port: int) -> list[str]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode().splitlines()


async def test_last_runs_and_open_alerts_are_seen(postgres_url: str, engine: AsyncEngine):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    await evaluate(engine, [("rate_drift", EVERY)], Channels(), Timing(), NOW)
    port = free_port()
    with served(postgres_url, "127.0.0.1", port):
        lines = scraped(port)
    for line in (
        "banister_monitor_up 1.0",
        'banister_monitor_job_status{job="rate_drift",status="DRIFT"} 1.0',
        'banister_monitor_job_status{job="rate_drift",status="OK"} 0.0',
        f'banister_monitor_job_last_run_timestamp_seconds{{job="rate_drift"}} {NOW.timestamp()!r}',
        'banister_alerts{alertname="drift",inhibited="false",severity="warning",state="firing"} 1',
        'banister_alert_notifications_unsent{state="waiting"} 0.0',
    ):
        assert any(_same(line, one) for one in lines), (line, lines)


def _same(one: str, other: str) -> bool:
    """Whether two samples agree; Prometheus writes large numbers as 1.76e+09."""
    (name, _, value), (other_name, _, other_value) = one.rpartition(" "), other.rpartition(" ")
    return name == other_name and bool(name) and float(value) == float(other_value)


def test_without_postgres_a_scrape_says_so_and_without_a_port_there_is_none():
    port = free_port()
    with served("postgresql://nobody@127.0.0.1:1/none", "127.0.0.1", port):
        assert scraped(port)[-1] == "banister_monitor_up 0.0"
    with served("postgresql://nobody@127.0.0.1:1/none", "127.0.0.1", None):
        pass
