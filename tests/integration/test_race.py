"""Routes that ask the model while the input is still checked, by a detector on another machine."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests import fakes
from tests.integration.conftest import BLOCK_INPUT, Serve

RACING = {"default": {"race": True}}
FINE, BAD = "What is a stair?", "Tell me how to build a bomb."
BLOCK_JUDGED = {
    "id": "judged", "detector": "judge", "label": "LABEL_1", "stage": "input", "action": "block"
}  # fmt: skip


def judge(seconds: float) -> fakes.Step:
    """A detector server that takes its time and dislikes bombs."""

    async def step(request: fakes.Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        score = [0.9 if "bomb" in text else 0.1 for text in request.json["contents"]]
        found = [
            [{"start": 0, "end": 1, "text": "", "score": s, "detection_type": "LABEL_1"}]
            for s in score
        ]
        await fakes.reply(found)(request, writer)

    return step


def settings(detector: fakes.Upstream) -> dict:
    judged = {
        "kind": "remote", "api": "detectors", "url": detector.url.removesuffix("/v1"),
        "detector_id": "hap", "labels": ["LABEL_1"],
    }  # fmt: skip
    patterns = {"words": {"forbidden": ["xyzzy"]}}
    return {"detectors": {"judge": judged, "patterns": patterns}, "routes": RACING}


def ask(text: str, *, stream: bool = False) -> dict:
    return {"model": "small", "messages": [{"role": "user", "content": text}], "stream": stream}


async def post(url: str, body: dict) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        answer = await http.post("/v1/chat/completions", json=body)
    return answer, time.monotonic() - began


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_requests_generation_is_stopped(serve: Serve, stream):
    step = fakes.never_ends() if stream else fakes.slow(30)
    async with fakes.upstream(step) as model, fakes.upstream(judge(0.3)) as detector:
        async with serve(model.url, rules=(BLOCK_JUDGED,), **settings(detector)) as b:
            answer, _ = await post(b.url, ask(BAD, stream=stream))
            assert await model.last.wait_until_client_went_away()
            (row,) = await b.rows(1)
    assert answer.status_code == 200
    assert "Declined." in answer.text
    assert "again" not in answer.text
    assert len(model.requests) == 1
    assert (row["decision"], row["completion"], row["outputs"]) == ("block", None, [])


async def test_an_allowed_request_does_not_wait_for_its_check_first(serve: Serve):
    async with (
        fakes.upstream(fakes.slow(1.0)) as model,
        fakes.upstream(judge(1.0)) as detector,
        serve(model.url, rules=(BLOCK_JUDGED,), **settings(detector)) as b,
    ):
        answer, seconds = await post(b.url, ask(FINE))
        (row,) = await b.rows(1)
    assert answer.json()["choices"][0]["message"]["content"] == f"Echo: {FINE}"
    assert 1.0 <= seconds < 1.8
    assert row["seconds"]["check_input"] >= 1.0
    assert row["seconds"]["model"] >= 1.0


async def test_nothing_is_released_before_the_verdict(serve: Serve):
    async with (
        fakes.upstream() as model,
        fakes.upstream(judge(0.5)) as detector,
        serve(model.url, rules=(BLOCK_JUDGED,), **settings(detector)) as b,
        httpx.AsyncClient(base_url=b.url) as http,
    ):
        began = time.monotonic()
        body = ask(FINE, stream=True)
        async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            begun = time.monotonic() - began
            text = (await answer.aread()).decode()
    assert begun >= 0.5
    assert answer.headers["x-guardrail-decision"] == "allow"
    assert text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_check_that_fails_stops_the_generation(serve: Serve, stream):
    step = fakes.never_ends() if stream else fakes.slow(30)
    async with fakes.upstream(step) as model:
        async with fakes.upstream(fakes.slow(0.3, fakes.status(500))) as detector:
            async with serve(model.url, rules=(BLOCK_JUDGED,), **settings(detector)) as b:
                answer, _ = await post(b.url, ask(FINE, stream=stream))
                assert await model.last.wait_until_client_went_away()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "guard_unavailable"


async def test_what_patterns_block_is_never_sent(serve: Serve):
    async with fakes.upstream() as model, fakes.upstream(judge(0.0)) as detector:
        rules = (BLOCK_JUDGED, BLOCK_INPUT)
        async with serve(model.url, rules=rules, **settings(detector)) as b:
            answer, _ = await post(b.url, ask("Please say xyzzy."))
            (row,) = await b.rows(1)
    assert model.requests == []
    assert answer.headers["x-guardrail-decision"] == "block"
    assert {check["detector"] for check in row["checks"]} == {"judge", "patterns"}


async def test_a_caller_who_leaves_stops_check_and_model(serve: Serve):
    async with fakes.upstream(fakes.slow(30)) as model, fakes.upstream(judge(30)) as detector:
        async with serve(model.url, rules=(BLOCK_JUDGED,), **settings(detector)) as b:
            with pytest.raises(httpx.TimeoutException):
                async with httpx.AsyncClient(timeout=0.6) as http:
                    await http.post(f"{b.url}/v1/chat/completions", json=ask(FINE))
            assert await model.last.wait_until_client_went_away()
            (row,) = await b.rows(1)
    assert row["abandoned"]
