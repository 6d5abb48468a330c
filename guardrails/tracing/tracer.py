"""Which spans does an exchange leave? One for all of it, and a child for each step.

They are made when it has ended, from what is recorded of it: names, times and counts, and never a
user's text. A thread sends them on; where it cannot keep up, spans are dropped and traffic is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from random import Random
from typing import Any, Protocol

from guardrails.errors import ConfigError
from guardrails.tracing.context import Context, Headers, begin
from guardrails.types import Exchange

STEPS = ("check_input", "ground", "format", "model", "cite", "check_output")
"""In the order of the pipeline. Where a route races the model, the two run side by side."""
OPERATIONS = {
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "tgi": "text_completion",
    "vertex": "generate_content",
}
MOST_OPEN = 20_000
"""Exchanges whose contexts are remembered at once; more than a worker takes."""
STOP_SECONDS = 3.0

logger = logging.getLogger(__name__)


class Tracer(Protocol):
    """Takes traces over from callers and hands them on."""

    def begin(self, exchange_id: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The headers that tell the upstream of the trace."""
        ...

    def end(self, exchange: Exchange) -> None:
        """Leave the spans of an exchange that has ended."""
        ...

    async def stop(self) -> None:
        """Send what is left, as far as it goes quickly."""
        ...


class PassedOn:
    """Leaves no span: the caller's trace goes to the upstream as it came."""

    def begin(self, exchange_id: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The caller's own headers. Cost: a microsecond."""
        return [h for h in headers if h[0] == b"traceparent" or h[0] == b"tracestate"]

    def end(self, exchange: Exchange) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""


class Exported:
    """Sends spans by OTLP over HTTP, in batches, from a thread of its own.

    Cost: some 50 µs of CPU an exchange that is sampled. Errors: ConfigError where OpenTelemetry
    is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        share: float,
        *,
        rng: Random | None = None,
    ) -> None:
        # 0.2 s and 14 MB that a proxy without a collector need not have.
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import ReadableSpan
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
            from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
        except ImportError as error:
            raise ConfigError(
                "BANISTER_OTLP_ENDPOINT needs OpenTelemetry: pip install 'banister[telemetry]'."
            ) from error
        self._share = share
        # Ids of traces need to be different, not secret.
        self._rng = rng or Random()  # noqa: S311
        self._open: dict[str, Context] = {}
        resource = Resource.create({"service.name": "banister", "service.version": _version()})
        scope = InstrumentationScope("banister", _version())
        exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=5)
        self._processor = BatchSpanProcessor(exporter, schedule_delay_millis=1_000)
        kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "": SpanKind.INTERNAL}

        def leave(
            name: str,
            kind: str,
            trace: int,
            span: int,
            parent: tuple[int, bool] | None,
            times: tuple[int, int],
            attributes: dict[str, Any],
            failed: bool,
        ) -> None:
            def context(number: int, remote: bool) -> SpanContext:
                return SpanContext(trace, number, remote, TraceFlags(TraceFlags.SAMPLED))

            self._processor.on_end(
                ReadableSpan(
                    name,
                    context=context(span, False),
                    parent=None if parent is None else context(*parent),
                    resource=resource,
                    attributes=attributes,
                    kind=kinds[kind],
                    status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
                    start_time=times[0],
                    end_time=times[1],
                    instrumentation_scope=scope,
                )
            )

        self._leave: Callable[..., None] = leave

    def begin(self, exchange_id: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Take the caller's trace over, or begin one; what the upstream is told of it."""
        context = begin(headers, self._rng, self._share)
        if len(self._open) < MOST_OPEN:
            self._open[exchange_id] = context
        return context.headers()

    def end(self, exchange: Exchange) -> None:
        """Leave the spans of an exchange whose trace is sampled."""
        context = self._open.pop(exchange.id, None)
        if context is None or not context.sampled:
            return
        start = int(exchange.started_at.timestamp() * 1e9)
        seconds = exchange.seconds
        end = start + _ns(seconds.get("total", sum(seconds.values())))
        parent = (context.parent, True) if context.parent else None
        failed = exchange.failure is not None
        shared = (context.trace, context.server, parent, (start, end))
        operation = OPERATIONS.get(exchange.protocol, exchange.protocol)
        name = f"{operation} {exchange.model}".strip()
        self._leave(name, "server", *shared, attributes_of(exchange, operation), failed)
        at = start
        for step in STEPS:
            if step not in seconds:
                continue
            until = min(end, at + _ns(seconds[step]))
            mine = (context.server, False)
            if step == "model":
                told = {"gen_ai.operation.name": operation, **model_attributes(exchange)}
                target = exchange.upstream_model or exchange.model
                own = (context.trace, context.client, mine, (at, until))
                self._leave(f"{operation} {target}", "client", *own, told, failed)
            else:
                span = self._rng.getrandbits(64) or 1
                own = (context.trace, span, mine, (at, until))
                self._leave(step, "", *own, check_attributes(exchange, step), False)
            at = until

    async def stop(self) -> None:
        """Send what waits, for three seconds at most; a collector that is away keeps nobody."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.to_thread(self._processor.force_flush, int(STOP_SECONDS * 1_000))
        except TimeoutError:
            logger.warning("The collector took too long; the last spans are lost.")


def attributes_of(exchange: Exchange, operation: str) -> dict[str, Any]:
    """What is said of the whole exchange, in the words of OpenTelemetry's GenAI conventions."""
    verdict = exchange.verdict
    told: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "banister",
        "gen_ai.request.model": exchange.model,
        **model_attributes(exchange),
        "banister.exchange.id": exchange.id,
        "banister.protocol": exchange.protocol,
        "banister.route": exchange.route,
        "banister.tenant": exchange.caller.tenant,
        "banister.stream": exchange.stream,
        "banister.policy": exchange.policy_version,
        "banister.decision": verdict.action.value,
        "banister.rules": sorted({r.rule for r in verdict.reasons if not r.shadow}),
        "banister.uncovered": len(exchange.uncovered),
    }
    if exchange.failure is not None:
        told["error.type"] = exchange.failure.code
    elif exchange.abandoned:
        told["error.type"] = "abandoned"
    return told


def model_attributes(exchange: Exchange) -> dict[str, Any]:
    """Who answered and how many tokens it took; what is not known is left out."""
    finish = {
        choice.get("finish_reason")
        for choice in (exchange.completion or {}).get("choices") or ()
        if isinstance(choice, dict)
    } - {None}
    told = {
        "gen_ai.response.model": exchange.upstream_model,
        "gen_ai.usage.input_tokens": exchange.usage.input_tokens,
        "gen_ai.usage.output_tokens": exchange.usage.output_tokens,
        "gen_ai.response.finish_reasons": sorted(map(str, finish)) or None,
        "banister.upstream": exchange.upstream,
        "banister.attempts": exchange.attempts or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def check_attributes(exchange: Exchange, step: str) -> dict[str, Any]:
    """Which detectors ran in a step, and which could not."""
    if not step.startswith("check_"):
        return {}
    checks = [c for c in exchange.checks if step == f"check_{c.side.value}"]
    told: dict[str, Any] = {"banister.detectors": sorted({c.detector for c in checks})}
    failed = sorted({c.detector for c in checks if c.error is not None})
    return told | ({"banister.detectors.failed": failed} if failed else {})


def _ns(seconds: float) -> int:
    return max(0, int(seconds * 1e9))


def _version() -> str:
    return version("banister")
