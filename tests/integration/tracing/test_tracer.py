"""Spans of a real proxy at a real OTLP/HTTP receiver, decoded as a collector does."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests import fakes
from tests.integration.conftest import BLOCK_INPUT, BLOCK_OUTPUT, Serve

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
SECRET = "my secret question"
ASK = {"model": "small", "messages": [{"role": "user", "content": SECRET}]}
BAD = {"model": "small", "messages": [{"role": "user", "content": "Please say xyzzy."}]}
CHAT = "/v1/chat/completions"


class Collector:
    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.delay = 0.0

    def spans(self) -> dict[str, Any]:
        found = {}
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found |= {span.name: span for span in scope.spans}
        return found

    async def wait_for(self, *names: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while not set(names) <= self.spans().keys():
                await asyncio.sleep(0.05)
        return self.spans()


@contextmanager
def collector() -> Iterator[Collector]:
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            time.sleep(made.delay)
            made.headers.append({k.lower(): v for k, v in self.headers.items()})
            made.bodies.append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        if kind == "array_value":
            value = [item.string_value for item in value.values]
        found[one.key] = value
    return found


async def test_an_exchange_is_one_span_with_a_child_for_each_step(serve: Serve):
    rules = (BLOCK_INPUT, BLOCK_OUTPUT)
    with collector() as seen:
        async with (
            fakes.upstream() as model,
            serve(
                model.url,
                rules=rules,
                otlp_endpoint=seen.url,
                otlp_headers={"x-team": "safety"},
            ) as b,
        ):
            async with httpx.AsyncClient(base_url=b.url) as http:
                answer = await http.post(CHAT, json=ASK, headers=PARENT)
            spans = await seen.wait_for("chat small", "chat small@7", "check_input", "check_output")
            upstream_parent = model.last.headers["traceparent"]
            upstream_state = model.last.headers["tracestate"]
    server, client = spans["chat small"], spans["chat small@7"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert server.parent_span_id.hex() == SPAN
    assert {s.parent_span_id for n, s in spans.items() if n != "chat small"} == {server.span_id}
    # What the model's server reports hangs below our call of it.
    assert upstream_parent == f"00-{TRACE}-{client.span_id.hex()}-01"
    assert upstream_state == "vendor=1"
    assert (server.kind, client.kind, spans["check_input"].kind) == (2, 3, 1)
    told = attributes(server)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.model"] == "small"
    assert told["gen_ai.response.model"] == "small@7"
    assert told["gen_ai.usage.output_tokens"] > 0
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert told["banister.decision"] == "allow"
    assert told["banister.exchange.id"] == answer.headers["x-request-id"]
    assert attributes(spans["check_input"])["banister.detectors"] == ["patterns"]
    order = [spans[name] for name in ("check_input", "chat small@7", "check_output")]
    times = [t for span in order for t in (span.start_time_unix_nano, span.end_time_unix_nano)]
    assert times == sorted(times)
    assert server.start_time_unix_nano <= times[0]
    assert times[-1] <= server.end_time_unix_nano
    assert seen.headers[0]["x-team"] == "safety"
    # Nobody's words are in it.
    assert all(SECRET.encode() not in body and b"Echo" not in body for body in seen.bodies)


async def test_a_block_and_a_failure_are_told_and_an_unsampled_trace_leaves_nothing(serve: Serve):
    with collector() as seen:
        async with (
            fakes.upstream() as model,
            serve(model.url, rules=(BLOCK_INPUT,), otlp_endpoint=seen.url) as b,
        ):
            async with httpx.AsyncClient(base_url=b.url) as http:
                unsampled = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
                await http.post(CHAT, json={**ASK, "stream": True}, headers=unsampled)
                assert model.last.headers["traceparent"].endswith("-00")
                await http.post(CHAT, json=BAD)
                await http.post(CHAT, json={**ASK, "model": "nobody"})
            spans = await seen.wait_for("chat small", "chat nobody")
    blocked, failed = spans["chat small"], spans["chat nobody"]
    assert attributes(blocked)["banister.decision"] == "block"
    assert attributes(blocked)["banister.rules"] == ["block-in"]
    assert blocked.parent_span_id == b""
    assert "chat small@7" not in spans
    assert failed.status.code == 2
    assert attributes(failed)["error.type"] == "model_not_found"
    assert TRACE not in {span.trace_id.hex() for span in spans.values()}


async def test_a_slow_collector_keeps_no_request_waiting(serve: Serve):
    with collector() as seen:
        seen.delay = 3.0
        async with fakes.upstream() as model, serve(model.url, otlp_endpoint=seen.url) as b:
            async with httpx.AsyncClient(base_url=b.url) as http:
                await http.post(CHAT, json=ASK)
                # The batch is on its way by now, and its answer takes another two seconds.
                await asyncio.sleep(1.2)
                assert seen.bodies == []
                for _ in range(5):
                    assert (await http.post(CHAT, json=ASK)).status_code == 200
                assert seen.bodies == []
            seen.delay = 0.0


async def test_without_a_collector_the_callers_trace_still_reaches_the_model(serve: Serve):
    async with fakes.upstream() as model, serve(model.url) as b:
        async with httpx.AsyncClient(base_url=b.url) as http:
            await http.post(CHAT, json=ASK, headers=PARENT)
            assert model.last.headers["traceparent"] == PARENT["traceparent"]
            assert model.last.headers["tracestate"] == "vendor=1"
            await http.post(CHAT, json=ASK)
            assert "traceparent" not in model.last.headers


def test_who_has_no_collector_does_not_load_what_sends_spans():
    # FastAPI loads OpenTelemetry's API by itself where that is installed; it has no spans to send.
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client", "requests")
    code = (
        "import sys, guardrails.app; from guardrails.tracing.tracer import PassedOn; PassedOn();"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=True,
    )
    assert done.stdout.strip() == "[]"
