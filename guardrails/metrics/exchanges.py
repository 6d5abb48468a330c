"""What is counted of each exchange when it ends?

No label holds what a caller could invent: routes, upstreams and detectors are those of the
configuration, protocols and decisions ours. Plain dictionaries, since this is the hot path.
"""

from __future__ import annotations

from guardrails.metrics.families import Family, Histogram, counter, histogram
from guardrails.types import Action, Exchange

GONE = 499
"""As nginx has it: the caller hung up before the answer."""


class Exchanges:
    """The counts of one process. Cost: about 5 µs an exchange."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, ...], int] = {}
        self._durations: dict[tuple[str, ...], Histogram] = {}
        self._steps: dict[str, Histogram] = {}
        self._detectors: dict[tuple[str, ...], Histogram] = {}
        self._failures: dict[tuple[str, ...], int] = {}
        self._failed_open: dict[str, int] = {}
        self._uncovered: dict[str, int] = {}
        self._unrecorded: dict[str, int] = {}
        self._tokens: dict[tuple[str, ...], int] = {}

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        route, failure = exchange.route, exchange.failure
        decision = "error" if failure is not None else exchange.verdict.action.value
        key = (route, exchange.protocol, decision, _status(exchange))
        self._requests[key] = self._requests.get(key, 0) + 1
        seconds = exchange.seconds
        for step, taken in seconds.items():
            if step == "total":
                times = self._durations.get(key[:2])
                if times is None:
                    times = self._durations[key[:2]] = Histogram()
            else:
                times = self._steps.get(step)
                if times is None:
                    times = self._steps[step] = Histogram()
            times.observe(taken)
        unchecked = False
        for check in exchange.checks:
            where = (check.detector, check.side.value)
            times = self._detectors.get(where)
            if times is None:
                times = self._detectors[where] = Histogram()
            times.observe(check.seconds)
            if check.error is not None:
                unchecked = True
                self._failures[where] = self._failures.get(where, 0) + 1
        if unchecked and failure is None and exchange.verdict.action is not Action.BLOCK:
            _add(self._failed_open, route)
        if exchange.uncovered:
            _add(self._uncovered, route)
        if exchange.unrecorded:
            _add(self._unrecorded, route)
        model, usage = exchange.upstream_model, exchange.usage
        if model is not None:
            for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if count:
                    self._tokens[model, kind] = self._tokens.get((model, kind), 0) + count

    def families(self) -> list[Family]:
        """All of it as metrics."""
        by_route: dict[str, dict[tuple[str, ...], float]] = {
            name: {(route,): float(count) for route, count in counts.items()}
            for name, counts in (
                ("failed_open", self._failed_open),
                ("uncovered", self._uncovered),
                ("unrecorded", self._unrecorded),
            )
        }
        return [
            counter(
                "banister_requests",
                "Exchanges that ended, by what became of them.",
                ("route", "protocol", "decision", "status"),
                self._requests,
            ),
            histogram(
                "banister_request_duration_seconds",
                "From the request until its record was kept.",
                ("route", "protocol"),
                self._durations,
            ),
            histogram(
                "banister_step_duration_seconds",
                "Each step of the pipeline; `model` is the upstream's time.",
                ("step",),
                {(step,): times for step, times in self._steps.items()},
            ),
            histogram(
                "banister_detector_duration_seconds",
                "Each run of a detector over one side of an exchange.",
                ("detector", "side"),
                self._detectors,
            ),
            counter(
                "banister_guard_failures",
                "Checks that could not run.",
                ("detector", "side"),
                self._failures,
            ),
            counter(
                "banister_guard_failed_open",
                "Exchanges that passed although a check could not run.",
                ("route",),
                by_route["failed_open"],
            ),
            counter(
                "banister_uncovered",
                "Exchanges of which some part was not scanned.",
                ("route",),
                by_route["uncovered"],
            ),
            counter(
                "banister_unrecorded",
                "Exchanges that were answered and not recorded.",
                ("route",),
                by_route["unrecorded"],
            ),
            counter(
                "banister_tokens",
                "Tokens as the upstream counted them.",
                ("model", "type"),
                self._tokens,
            ),
        ]


def _add(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1


def _status(exchange: Exchange) -> str:
    if exchange.abandoned:
        return str(GONE)
    if exchange.failure is not None:
        return str(exchange.failure.status)
    told_as_error = exchange.blocked and bool((exchange.answer or {}).get("error"))
    return "400" if told_as_error else "200"
