"""What is read of the parts of a proxy when asked: detectors, upstreams, log, open requests."""

from __future__ import annotations

from guardrails.checks import Checker
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.metrics.families import Family, counter, gauge
from guardrails.proxy import Proxy
from guardrails.upstream.pool import Pool


def families(checker: Checker, pool: Pool, log: ExchangeLog, proxy: Proxy) -> list[Family]:
    """How the parts stand now."""
    return [_scanned(checker), *_upstreams(pool), *_log(log), *_proxy(proxy)]


def _scanned(checker: Checker) -> Family:
    return counter(
        "banister_scanned_characters",
        "Characters that a detector was given to read, each as often as it was given.",
        ("detector", "side"),
        {
            (name, side.value): count
            for side, counts in checker.scanned.items()
            for name, count in counts.items()
        },
    )


def _upstreams(pool: Pool) -> list[Family]:
    status = pool.status()
    names = ("upstream", "model")
    by = {(one.name, f"{one.model}@{one.version}"): one for one in status}
    return [
        counter(
            "banister_upstream_requests",
            "Requests sent to an endpoint, each attempt counted.",
            names,
            {key: one.requests for key, one in by.items()},
        ),
        counter(
            "banister_upstream_failures",
            "Attempts that failed.",
            names,
            {key: one.failures for key, one in by.items()},
        ),
        gauge(
            "banister_upstream_in_flight",
            "Requests that an endpoint is answering.",
            names,
            {key: one.in_flight for key, one in by.items()},
        ),
        gauge(
            "banister_upstream_breaker_open",
            "1 while an endpoint gets no requests since it failed.",
            names,
            {key: float(one.breaker == "open") for key, one in by.items()},
            worst=True,
        ),
    ]


def _log(log: ExchangeLog) -> list[Family]:
    stats = log.stats

    def one(value: float) -> dict[tuple[str, ...], float]:
        return {(): value}

    return [
        counter("banister_log_written_records", "Written to Postgres.", (), one(stats.written)),
        counter("banister_log_dropped_records", "Lost for want of room.", (), one(stats.dropped)),
        counter("banister_log_lost_records", "Damaged on disk.", (), one(stats.lost)),
        counter("banister_log_rejected_records", "Put aside.", (), one(stats.rejected)),
        counter("banister_log_refused_exchanges", "Answered 503.", (), one(stats.refused)),
        gauge("banister_log_queued_records", "Not in Postgres yet.", (), one(stats.queued)),
        gauge("banister_log_spool_bytes", "On disk.", (), one(stats.spool_bytes), worst=True),
        gauge(
            "banister_log_lag_seconds",
            "Age of the oldest record that is not in Postgres.",
            (),
            one(stats.lag_seconds),
            worst=True,
        ),
    ]


def _proxy(proxy: Proxy) -> list[Family]:
    return [
        gauge("banister_requests_in_flight", "Open requests.", (), {(): proxy.in_flight}),
        gauge("banister_streams_open", "Of them streams.", (), {(): proxy.streams_open}),
    ]
