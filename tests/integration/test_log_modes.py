"""When an answer ends, and what is refused, by the mode of the exchange log."""

from __future__ import annotations

import os
import time

import httpx
import pytest

from guardrails.exchange_log import spool
from tests import fakes
from tests.integration.conftest import Serve

ASK = {"model": "small", "messages": [{"role": "user", "content": "What is a stair?"}]}
SYNC_SECONDS = 0.6


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev

    def slowly(*arguments: object) -> int:
        time.sleep(SYNC_SECONDS)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(spool.os, "pwritev", slowly)


async def ended(url: str, **more: object) -> tuple[float, float]:
    """Seconds to the first byte of an answer's body, and to its last."""
    began = time.monotonic()
    first = None
    async with (
        httpx.AsyncClient() as http,
        http.stream("POST", f"{url}/v1/chat/completions", json={**ASK, **more}) as answer,
    ):
        assert answer.status_code == 200
        async for _ in answer.aiter_raw():
            first = first or time.monotonic()
    assert first is not None
    return first - began, time.monotonic() - began


async def test_in_mode_durable_an_answer_ends_when_its_record_is_on_disk(
    serve: Serve, slow_disk: None
):
    async with fakes.upstream() as model, serve(model.url, log_mode="durable") as b:
        _, whole = await ended(b.url)
        first, done = await ended(b.url, stream=True)
        await b.rows(2)
    assert whole >= SYNC_SECONDS
    assert first < done - SYNC_SECONDS / 2, "only the stream's end waits"
    assert done >= SYNC_SECONDS


@pytest.mark.parametrize("mode", ["fast", "memory"])
async def test_in_the_other_modes_no_answer_waits_for_the_disk(
    serve: Serve, slow_disk: None, mode: str
):
    async with fakes.upstream() as model, serve(model.url, log_mode=mode) as b:
        began = time.monotonic()
        for stream in (False, True):
            for _ in range(5):
                await ended(b.url, stream=stream)
        assert time.monotonic() - began < 10 * SYNC_SECONDS
        await b.rows(10)


@pytest.mark.parametrize("mode", ["durable", "memory"])
async def test_what_cannot_be_recorded_never_reaches_the_model(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, mode: str
):
    monkeypatch.setattr(spool, "SPARE_SHARE", 1.0)
    queue = {"log_queue_records": 1} if mode == "memory" else {}
    async with fakes.upstream() as model, serve(model.url, log_mode=mode, **queue) as b:
        if mode == "memory":
            monkeypatch.setattr("guardrails.exchange_log.memory_queue.SPARE_SHARE", 1.0)
        async with httpx.AsyncClient(base_url=b.url) as http:
            refused = await http.post("/v1/chat/completions", json=ASK)
            ready = await http.get("/readyz")
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "log_unavailable"
    assert refused.headers["retry-after"] == "1"
    assert model.requests == []
    assert ready.status_code == 503
    assert ready.json()["log"]["refused"] == 1


async def test_a_log_that_is_to_go_on_says_so_on_every_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spool.Spool, "put", lambda *_: False)
    monkeypatch.setattr(spool, "SPARE_SHARE", 1.0)
    async with fakes.upstream() as model, serve(model.url, log_full="continue") as b:
        async with httpx.AsyncClient(base_url=b.url) as http:
            for stream in (False, True):
                answer = await http.post("/v1/chat/completions", json={**ASK, "stream": stream})
                assert answer.status_code == 200
                assert answer.headers["x-guardrail-recorded"] == "no"
            ready = await http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["log"]["dropped"] == 2
