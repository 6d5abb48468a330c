"""The pool against real servers: which endpoint is asked, and what comes back when some fail."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from guardrails.errors import UpstreamError, UpstreamTimeout
from guardrails.settings import UpstreamSettings
from guardrails.upstream import retry
from guardrails.upstream.answer import Answer
from guardrails.upstream.pool import Pool
from tests import fakes

pytestmark = pytest.mark.asyncio(loop_scope="module")


def at(name: str, url: str, **changes: Any) -> UpstreamSettings:
    fields = {"name": name, "url": url, "model": "small", "connect_seconds": 1.0, **changes}
    return UpstreamSettings.model_validate(fields)


def pool(*upstreams: UpstreamSettings, **changes: Any) -> Pool:
    return Pool(upstreams, **{"rng": random.Random(7), **changes})


def asking(**fields: Any) -> Callable[[UpstreamSettings], bytes]:
    def encode(upstream: UpstreamSettings) -> bytes:
        messages = [{"role": "user", "content": "hello"}]
        model = upstream.served_as or upstream.model
        return json.dumps({"model": model, "messages": messages, **fields}).encode()

    return encode


async def send(to: Pool, model: str = "small", **fields: Any) -> Answer:
    return await to.send(model, "/chat/completions", asking(**fields))


async def test_an_answer_says_who_gave_it() -> None:
    async with fakes.upstream() as server:
        to = pool(at("gpu-1", server.url, version="2026-11", served_as="org/small"))
        answer = await send(to)
        assert (answer.status, answer.attempts) == (200, 1)
        assert (answer.upstream, answer.upstream_model) == ("gpu-1", "small@2026-11")
        assert json.loads(await answer.read())["model"] == "org/small"
        assert server.last.json["model"] == "org/small"
        await to.aclose()


async def test_a_stream_is_iterated_as_it_comes() -> None:
    async with fakes.upstream(fakes.chat("one two three", chunk_characters=4)) as server:
        to = pool(at("a", server.url))
        answer = await to.send(
            "small", "/chat/completions", asking(stream=True), accept="text/event-stream"
        )
        assert (b"content-type", b"text/event-stream") in answer.headers
        body = b"".join([part async for part in answer])
        assert body.count(b"data: ") == 7
        assert server.last.headers["accept"] == "text/event-stream"
        assert to.status()[0].in_flight == 0
        await to.aclose()


async def test_key_and_headers_come_from_the_configuration_alone() -> None:
    async with fakes.upstream() as server:
        to = pool(
            at("a", server.url, api_key_env="SMALL_KEY", headers={"x-team": "red"}),
            environ={"SMALL_KEY": "s3cret"},
        )
        await (await send(to)).read()
        assert server.last.headers["authorization"] == "Bearer s3cret"
        assert server.last.headers["x-team"] == "red"
        await to.aclose()


async def test_hop_by_hop_headers_are_not_passed_on() -> None:
    wire = (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\n"
        b"X-Private: 1\r\nX-Public: 2\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: x\r\n\r\n0\r\n\r\n"
    )
    async with fakes.upstream(fakes.raw(wire)) as server:
        to = pool(at("a", server.url))
        assert (await send(to)).headers == [(b"x-public", b"2")]
        await to.aclose()


# Which endpoint.


async def shares(to: Pool, count: int, model: str = "small") -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(count):
        answer = await send(to, model)
        await answer.read()
        seen[answer.upstream] += 1
    return seen


@pytest.mark.parametrize(
    ("balance", "version"),
    [("least_loaded", "2"), ("random", "2"), ("random", "1")],
    ids=["canary by load", "canary by chance", "replicas by chance"],
)
async def test_weights_are_shares_of_the_requests(balance: str, version: str) -> None:
    async with fakes.upstream() as server:
        upstreams = at("a", server.url, weight=9), at("b", server.url, version=version)
        to = pool(*upstreams, balance=balance)
        assert (await shares(to, 400))["b"] == pytest.approx(40, abs=20)
        await to.aclose()


async def test_a_weight_changes_while_it_runs() -> None:
    async with fakes.upstream() as server:
        to = pool(at("champion", server.url), at("canary", server.url, version="2", weight=0))
        assert (await shares(to, 30))["canary"] == 0
        to.set_weight("canary", 1)
        assert (await shares(to, 100))["canary"] == pytest.approx(50, abs=20)
        to.set_weight("champion", 0)
        assert (await shares(to, 30))["champion"] == 0
        await to.aclose()


async def test_a_version_may_be_asked_for_also_at_weight_zero() -> None:
    async with fakes.upstream() as server:
        to = pool(at("a", server.url), at("b", server.url, version="2", weight=0))
        assert await shares(to, 5, "small@2") == {"b": 5}
        assert await shares(to, 5, "small@1") == {"a": 5}
        await to.aclose()


async def test_a_model_whose_every_weight_is_zero_is_out_of_service() -> None:
    async with fakes.upstream() as server:
        to = pool(at("a", server.url, weight=0))
        with pytest.raises(UpstreamError) as caught:
            await send(to)
        assert (caught.value.code, caught.value.status) == ("upstream_unavailable", 503)
        assert server.requests == []


async def test_the_least_loaded_endpoint_is_asked() -> None:
    async with fakes.upstream(fakes.slow(0.3)) as server:
        to = pool(at("a", server.url, weight=3), at("b", server.url, weight=1))
        tasks = [asyncio.create_task(send(to)) for _ in range(8)]
        await server.wait_for_requests(8)
        assert [status.in_flight for status in to.status()] == [6, 2]
        await asyncio.gather(*tasks)
        await to.aclose()


async def test_in_flight_counts_until_the_answer_has_ended() -> None:
    async with fakes.upstream(fakes.never_ends()) as server:
        to = pool(at("a", server.url))
        answer = await send(to, stream=True)
        assert to.status()[0].in_flight == 1
        await answer.aclose()
        assert to.status()[0].in_flight == 0
        assert await server.last.wait_until_client_went_away()


# When one fails.


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 529])
async def test_another_endpoint_answers_at_once_when_one_says_try_again(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_SECONDS", 60.0)
    monkeypatch.setattr(retry, "LONGEST_DELAY_SECONDS", 60.0)
    async with fakes.upstream(fakes.status(code)) as ill, fakes.upstream() as well:
        to = pool(at("ill", ill.url, weight=1000), at("well", well.url, weight=0.001))
        async with asyncio.timeout(5):
            answer = await send(to)
        assert (answer.status, answer.upstream, answer.attempts) == (200, "well", 2)
        await to.aclose()


@pytest.mark.parametrize(
    "step",
    [fakes.silent_close(), fakes.reset(), fakes.garbage(), fakes.reset(b"HTTP/1.1 2")],
    ids=["close", "reset", "garbage", "reset within the head"],
)
async def test_another_endpoint_answers_when_one_gives_no_answer(step: fakes.Step) -> None:
    async with fakes.upstream(step) as ill, fakes.upstream() as well:
        to = pool(at("ill", ill.url, weight=1000), at("well", well.url, weight=0.001))
        answer = await send(to)
        assert (answer.status, answer.upstream, answer.attempts) == (200, "well", 2)
        await to.aclose()


async def test_another_endpoint_answers_when_one_refuses_connections() -> None:
    async with fakes.upstream() as well:
        with fakes.refusing_url() as url:
            to = pool(at("ill", url, weight=1000), at("well", well.url, weight=0.001))
            answer = await send(to)
        assert (answer.status, answer.upstream, answer.attempts) == (200, "well", 2)
        await to.aclose()


@pytest.mark.parametrize("code", [400, 401, 404, 408, 409, 422, 501])
async def test_other_errors_are_passed_on_at_once(code: int) -> None:
    async with fakes.upstream(fakes.status(code)) as server:
        to = pool(at("a", server.url), at("b", server.url))
        answer = await send(to)
        assert (answer.status, answer.attempts) == (code, 1)
        assert json.loads(await answer.read())["error"]["message"] == f"upstream says {code}"
        assert len(server.requests) == 1
        await to.aclose()


async def test_one_endpoint_is_asked_again_after_a_pause() -> None:
    async with fakes.upstream(fakes.status(503), fakes.status(500), fakes.chat()) as server:
        to = pool(at("a", server.url))
        started = time.monotonic()
        answer = await send(to)
        assert (answer.status, answer.attempts) == (200, 3)
        assert 0.14 < time.monotonic() - started < 3
        await to.aclose()


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_the_upstreams_own_error_is_passed_on_when_retries_are_used_up(code: int) -> None:
    async with fakes.upstream(fakes.status(code, retry_after="0")) as server:
        to = pool(at("a", server.url), retries=1)
        answer = await send(to)
        assert (answer.status, answer.attempts) == (code, 2)
        assert (b"retry-after", b"0") in answer.headers
        assert json.loads(await answer.read())["error"]["message"] == f"upstream says {code}"
        assert len(server.requests) == 2
        await to.aclose()


async def test_an_error_answer_outlives_a_later_attempt_without_any() -> None:
    async with fakes.upstream(fakes.status(503), fakes.silent_close()) as server:
        to = pool(at("a", server.url))
        answer = await send(to)
        assert (answer.status, answer.attempts) == (503, 3)
        assert b"upstream says 503" in await answer.read()
        await to.aclose()


async def test_retry_after_is_waited_for_when_it_is_short() -> None:
    async with fakes.upstream(fakes.status(429, retry_after="1"), fakes.chat()) as server:
        to = pool(at("a", server.url))
        started = time.monotonic()
        answer = await send(to)
        assert (answer.status, answer.attempts) == (200, 2)
        assert time.monotonic() - started >= 1
        await to.aclose()


async def test_a_long_retry_after_is_left_to_the_caller() -> None:
    async with fakes.upstream(fakes.status(429, retry_after="60")) as server:
        to = pool(at("a", server.url))
        started = time.monotonic()
        answer = await send(to)
        assert (answer.status, answer.attempts) == (429, 1)
        assert (b"retry-after", b"60") in answer.headers
        assert time.monotonic() - started < 3
        await to.aclose()


async def test_an_endpoint_that_asked_for_rest_is_spared_while_another_can() -> None:
    async with (
        fakes.upstream(fakes.status(429, retry_after="2")) as tired,
        fakes.upstream() as well,
    ):
        to = pool(at("tired", tired.url, weight=1000), at("well", well.url, weight=0.001))
        for _ in range(10):
            await (await send(to)).read()
        assert len(tired.requests) == 1
        await to.aclose()


async def test_no_answer_at_all_is_an_error_after_the_retries() -> None:
    async with fakes.upstream(fakes.silent_close()) as server:
        to = pool(at("a", server.url))
        with pytest.raises(UpstreamError):
            await send(to)
        assert len(server.requests) == 3
        assert to.status()[0].failures == 3
        assert to.status()[0].in_flight == 0


async def test_retries_may_be_turned_off() -> None:
    async with fakes.upstream(fakes.status(503)) as server:
        to = pool(at("a", server.url), retries=0)
        assert (await send(to)).status == 503
        assert len(server.requests) == 1
        await to.aclose()


async def test_a_timeout_is_not_tried_again() -> None:
    async with fakes.upstream(fakes.slow(5.0)) as server, fakes.upstream() as other:
        to = pool(
            at("a", server.url, first_byte_seconds=0.1, weight=1000),
            at("b", other.url, weight=0.001),
        )
        with pytest.raises(UpstreamTimeout):
            await send(to)
        assert (len(server.requests), len(other.requests)) == (1, 0)


async def test_an_answer_that_broke_off_is_not_tried_again() -> None:
    async with fakes.upstream(fakes.reset_mid_answer()) as server:
        to = pool(at("a", server.url))
        answer = await send(to)
        with pytest.raises(UpstreamError):
            await answer.read()
        assert len(server.requests) == 1
        assert to.status()[0].failures == 1
        assert to.status()[0].in_flight == 0


async def test_retries_stop_when_their_budget_is_spent() -> None:
    async with fakes.upstream(fakes.status(429, retry_after="0")) as server:
        to = pool(*(at(f"a{i}", server.url) for i in range(3)), now=lambda: 0.0)
        for _ in range(100):
            await (await send(to)).aclose()
        # 100 first attempts, a full purse of 20 retries and a fifth of a retry for each request.
        assert 139 <= len(server.requests) <= 141
        await to.aclose()


async def test_the_callers_cancel_reaches_the_upstream_and_leaves_the_count_right() -> None:
    async with fakes.upstream(fakes.slow(5.0)) as server:
        to = pool(at("a", server.url))
        task = asyncio.create_task(send(to))
        await server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.last.wait_until_client_went_away()
        status = to.status()[0]
        assert (status.in_flight, status.failures, status.connections) == (0, 0, 0)


async def test_a_busy_endpoint_is_no_sick_one() -> None:
    async with fakes.upstream(fakes.slow(0.3)) as server:
        to = pool(at("a", server.url, max_connections=1, connect_seconds=0.05), retries=0)
        outcomes = await asyncio.gather(*(send(to) for _ in range(12)), return_exceptions=True)
        errors = [o for o in outcomes if isinstance(o, UpstreamError)]
        assert len(errors) == 11
        assert {error.code for error in errors} == {"upstream_busy"}
        assert to.status()[0].breaker == "closed"
        await to.aclose()


# When one stays ill.


async def test_an_endpoint_that_keeps_failing_is_left_alone_until_a_probe_succeeds() -> None:
    seconds = 1_000.0
    steps = [*[fakes.status(503)] * 5, fakes.chat()]
    async with fakes.upstream(*steps) as server:
        to = pool(at("a", server.url), retries=0, now=lambda: seconds)
        for _ in range(5):
            assert (await send(to)).status == 503
        assert to.status()[0].breaker == "open"
        assert not to.status()[0].ready
        with pytest.raises(UpstreamError) as caught:
            await send(to)
        assert (caught.value.status, caught.value.code) == (503, "upstream_unavailable")
        assert caught.value.retry_after_seconds == 2
        assert len(server.requests) == 5
        seconds += 2
        assert to.status()[0].breaker == "half_open"
        assert (await send(to)).status == 200
        assert to.status()[0].breaker == "closed"
        await to.aclose()


async def test_only_one_probe_goes_to_a_half_open_endpoint() -> None:
    seconds = 1_000.0
    steps = [*[fakes.status(503)] * 5, fakes.slow(0.2)]
    async with fakes.upstream(*steps) as server:
        to = pool(at("a", server.url), retries=0, now=lambda: seconds)
        for _ in range(5):
            await send(to)
        seconds += 3
        outcomes = await asyncio.gather(*(send(to) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(outcome, Answer) for outcome in outcomes) == 1
        assert len(server.requests) == 6
        await to.aclose()


async def test_a_cancelled_probe_lets_the_next_one_through() -> None:
    seconds = 1_000.0
    steps = [*[fakes.status(503)] * 5, fakes.slow(5.0), fakes.chat()]
    async with fakes.upstream(*steps) as server:
        to = pool(at("a", server.url), retries=0, now=lambda: seconds)
        for _ in range(5):
            await send(to)
        seconds += 3
        probe = asyncio.create_task(send(to))
        await server.wait_for_requests(6)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert (await send(to)).status == 200
        await to.aclose()


async def test_an_open_endpoint_is_passed_over_while_another_is_well() -> None:
    async with fakes.upstream(fakes.silent_close()) as ill, fakes.upstream() as well:
        to = pool(at("ill", ill.url, weight=1000), at("well", well.url, weight=0.001))
        for _ in range(40):
            answer = await send(to)
            assert answer.status == 200
            await answer.read()
        assert len(ill.requests) == 5
        await to.aclose()


async def test_one_request_that_is_answered_500_does_not_shut_out_others() -> None:
    poison = fakes.status(500)

    async def step(request: fakes.Request, writer: asyncio.StreamWriter) -> None:
        await (poison if request.json.get("poison") else fakes.chat())(request, writer)

    async with fakes.upstream(step) as server:
        to = pool(at("a", server.url), retries=0)
        for _ in range(12):
            assert (await send(to, poison=True)).status == 500
            assert (await send(to)).status == 200
        assert to.status()[0].breaker == "closed"
        await to.aclose()
