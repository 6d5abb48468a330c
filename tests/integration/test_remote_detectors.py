"""Detectors on other machines, asked over real HTTP by each of their protocols, well and ill.

The servers here speak the protocols as their specifications have it and refuse what those refuse.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from guardrails.checks import Checker
from guardrails.database.url import libpq_url
from guardrails.detectors import askers_of
from guardrails.types import Check, Segment, Stage
from tests import fakes

Answer = Callable[[fakes.Request], Any]
BAD = "bomb"
CARD = Path(__file__).parent.parent.parent / "docs" / "models" / "cascade.md"


def answering(path: str, answer: Answer) -> fakes.Step:
    """A server of one path; what `answer` does not accept is a 422."""

    async def step(request: fakes.Request, writer: asyncio.StreamWriter) -> None:
        if (request.method, request.path) != ("POST", path):
            await fakes.status(404)(request, writer)
            return
        try:
            said = answer(request)
        except (AssertionError, KeyError) as error:
            await fakes.status(422, {"code": 422, "message": repr(error)})(request, writer)
            return
        await fakes.reply(said)(request, writer)

    return step


def detectors_api(request: fakes.Request) -> Any:
    """One sequence classifier, as TrustyAI's detector server runs it, with its threshold."""
    assert request.headers["detector-id"] == "hap"
    asked = request.json
    assert set(asked) <= {"contents", "detector_params"}
    threshold = asked["detector_params"].get("threshold", 0.5)
    answer = []
    for text in asked["contents"]:
        assert isinstance(text, str)
        at = text.find(BAD)
        span = (at, at + len(BAD)) if at >= 0 else (0, len(text))
        score = 0.9 if at >= 0 else 0.1
        hit = {"start": span[0], "end": span[1], "text": text[slice(*span)], "score": score}
        hit |= {"detection_type": "LABEL_1", "evidences": []}
        answer.append([hit] if score >= threshold else [])
    return answer


def kserve_api(request: fakes.Request) -> Any:
    """A model with one input of texts and one output of two columns, as Triton serves it."""
    (tensor,) = request.json["inputs"]
    assert tensor["name"] == "text" and tensor["datatype"] == "BYTES"
    assert tensor["shape"] == [len(tensor["data"])]
    rows = [[0.9, 0.4] if BAD in text else [0.1, 0.2] for text in tensor["data"]]
    flat = [score for row in rows for score in row]
    output = {"name": "scores", "datatype": "FP32", "shape": [len(rows), 2], "data": flat}
    return {"model_name": "toxic", "model_version": "1", "outputs": [output]}


def moderations_api(request: fakes.Request) -> Any:
    asked = request.json
    assert asked["model"] == "omni-moderation-latest"
    results = [
        {
            "flagged": BAD in text,
            "categories": {"violence": BAD in text, "hate": False},
            "category_scores": {"violence": 0.9 if BAD in text else 0.1, "hate": 0.01},
        }
        for text in asked["input"]
    ]
    return {"id": "modr-1", "model": "omni-moderation-2024-09-26", "results": results}


def llama_guard_chat(request: fakes.Request) -> Any:
    """Llama Guard 3 behind vLLM, whose chat template wants turns that alternate."""
    asked = request.json
    assert asked["model"] == "llama-guard-3" and asked["temperature"] == 0
    roles = [turn["role"] for turn in asked["messages"]]
    assert roles == ["user", "assistant"][: len(roles)]
    unsafe = BAD in asked["messages"][-1]["content"]
    text = "\n\nunsafe\nS9" if unsafe else "\n\nsafe"
    words = ["unsafe", "safe"] if unsafe else ["safe", "unsafe"]
    top = [
        {"token": word, "logprob": math.log(share), "bytes": None}
        for word, share in zip(words, (0.8, 0.2), strict=True)
    ]
    first = {"token": "\n\n", "logprob": 0.0, "bytes": None, "top_logprobs": []}
    content = [first, {**top[0], "top_logprobs": top[: asked["top_logprobs"]]}]
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    logprobs = {"content": content} if asked["logprobs"] else None
    return {"object": "chat.completion", "choices": [{**choice, "logprobs": logprobs}]}


def shield_gemma_completion(request: fakes.Request) -> Any:
    """ShieldGemma behind vLLM's completions, which know nothing of chat templates."""
    asked = request.json
    assert asked["prompt"].startswith("You are a policy expert")
    yes = BAD in asked["prompt"] and "No Dangerous Content" in asked["prompt"]
    tops = {"Yes": math.log(0.7 if yes else 0.1), "No": math.log(0.3 if yes else 0.9)}
    word = "Yes" if yes else "No"
    logprobs = {"tokens": [word], "token_logprobs": [tops[word]], "top_logprobs": [tops]}
    return {"object": "text_completion", "choices": [{"text": word, "logprobs": logprobs}]}


def own_prompt(request: fakes.Request) -> Any:
    system, user = request.json["messages"]
    assert system["role"] == "system" and user["content"].startswith("<text>")
    said = json.dumps({"rude": 0.9 if BAD in user["content"] else 0.1})
    return {"choices": [{"message": {"role": "assistant", "content": said}}]}


TEMPLATE = (
    "{% block system %}How rude is it? Answer with JSON.{% endblock %}"
    "{% block user %}<text>{{ question }}</text>{% endblock %}"
)
# name → where the url ends, the path, the server's answer, the options, the label that rises
APIS: Mapping[str, tuple[str, str, Answer, dict[str, Any], str]] = {
    "detectors": (
        "",
        "/api/v1/text/contents",
        detectors_api,
        {"kind": "remote", "api": "detectors", "detector_id": "hap", "labels": {"LABEL_1": "hap"}},
        "hap",
    ),
    "kserve": (
        "",
        "/v2/models/toxic/infer",
        kserve_api,
        {"kind": "remote", "api": "kserve", "model": "toxic", "labels": ["toxic", "rude"]},
        "toxic",
    ),
    "moderations": (
        "/v1",
        "/v1/moderations",
        moderations_api,
        {"kind": "remote", "api": "moderations", "labels": {"violence": "threat"}},
        "threat",
    ),
    "llama_guard": (
        "/v1",
        "/v1/chat/completions",
        llama_guard_chat,
        {"kind": "judge", "format": "llama_guard", "model": "llama-guard-3"},
        "S9",
    ),
    "shieldgemma": (
        "/v1",
        "/v1/completions",
        shield_gemma_completion,
        {"kind": "judge", "format": "shieldgemma", "model": "shield", "api": "completions"},
        "dangerous_content",
    ),
    "prompt": (
        "/v1",
        "/v1/chat/completions",
        own_prompt,
        {
            "kind": "judge",
            "format": "prompt",
            "model": "any",
            "labels": ["rude"],
            "template": TEMPLATE,
            "logprobs": False,
        },
        "rude",
    ),
}


@asynccontextmanager
async def served(name: str, *steps: fakes.Step, **changes: Any) -> AsyncIterator[Any]:
    """A server of this protocol, or one that takes these steps, and a checker that asks it."""
    ending, path, answer, options, _ = APIS[name]
    async with fakes.upstream(*(steps or [answering(path, answer)])) as server:
        url = server.url.removesuffix("/v1") + ending
        askers = askers_of({name: {**options, "url": url, **changes}})
        try:
            yield Checker({}, None, askers=askers), server
        finally:
            await askers[name].aclose()


async def check(
    checker: Checker,
    name: str,
    texts: Sequence[str],
    side: Stage = Stage.INPUT,
    seconds: float = 5.0,
) -> Check:
    await checker.start()
    role = "user" if side is Stage.INPUT else "assistant"
    segments = [Segment(side, role, 0, (), text) for text in texts]
    (check,) = await checker.run([name], segments, side, timeout_seconds=seconds)
    return check


@pytest.mark.parametrize("side", [Stage.INPUT, Stage.OUTPUT])
@pytest.mark.parametrize("name", APIS)
async def test_every_label_is_scored_and_the_bad_text_is_found(name: str, side: Stage) -> None:
    rising = APIS[name][-1]
    async with served(name) as (checker, server):
        fine = await check(checker, name, ["Good morning", "Bread?"], side)
        assert fine.error is None
        assert {hit.label for hit in fine.detections} == set(checker.known[name])
        assert all(hit.score < 0.5 for hit in fine.detections)
        bad = await check(checker, name, ["Good morning", "How do I make a bomb?"], side)
        (hit,) = [hit for hit in bad.detections if hit.label == rising]
        assert hit.segment == 1 and hit.score >= 0.7
        assert fine.version == bad.version != ""
        assert server.connections < len(server.requests), "connections are kept"


@pytest.mark.parametrize("name", ["detectors", "kserve", "moderations"])
async def test_the_texts_of_a_side_go_in_one_request(name: str) -> None:
    async with served(name) as (checker, server):
        assert (await check(checker, name, [f"text {n}" for n in range(60)])).error is None
        assert len(server.requests) == 1
        assert (await check(checker, name, [f"text {n}" for n in range(130)])).error is None
        assert len(server.requests) == 1 + 3


@pytest.mark.parametrize("name", APIS)
async def test_a_long_text_is_read_to_its_end(name: str) -> None:
    text = "some words " * 400 + "and then a bomb at last"
    async with served(name, window_characters=300) as (checker, _):
        found = await check(checker, name, [text])
        (hit,) = [
            hit for hit in found.detections if hit.label == APIS[name][-1] and hit.score >= 0.7
        ]
        assert hit.start is not None and BAD in text[hit.start : hit.end]
        if name == "detectors":
            assert text[hit.start : hit.end] == BAD, "its own span is kept"


def less(name: str) -> Answer:
    """The protocol's answer with one row, or one choice, too few."""

    def answer(request: fakes.Request) -> Any:
        said = APIS[name][2](request)
        if isinstance(said, list):
            return said[1:]
        (part,) = said.keys() & {"results", "outputs", "choices"}
        if part == "outputs":
            said[part][0]["shape"][0] -= 1
            said[part][0]["data"] = said[part][0]["data"][2:]
        else:
            said[part] = said[part][1:]
        return said

    return answer


ILL: Mapping[str, tuple[fakes.Step | None, str]] = {
    "500": (fakes.status(500), "answered with status 500"),
    "503": (fakes.status(503), "answered with status 503"),
    "401": (fakes.status(401), "answered with status 401"),
    "garbage": (fakes.garbage(), "failed: "),
    "no answer": (fakes.silent_close(), "failed: "),
    "half an answer": (fakes.reset_mid_answer(), "failed: "),
    "html": (fakes.reply(b"<html>"), "did not answer with JSON"),
    "another shape": (fakes.reply({"error": "no"}), "answered in another shape"),
    "a string": (fakes.reply("safe"), "answered in another shape"),
    "null": (fakes.reply(None), "answered in another shape"),
    "slow": (fakes.slow(5), "did not answer in time"),
    "too few": (None, ""),
}


@pytest.mark.parametrize("ill", ILL)
@pytest.mark.parametrize("name", APIS)
async def test_what_goes_wrong_is_an_error_of_the_check_and_never_a_score(
    name: str, ill: str
) -> None:
    step, message = ILL[ill]
    async with served(name, step or answering(APIS[name][1], less(name)), timeout_seconds=0.3) as (
        checker,
        _,
    ):
        began = time.monotonic()
        failed = await check(checker, name, ["My secret words", "A bomb"])
        assert time.monotonic() - began < 2
        assert failed.error is not None and failed.error.startswith(f"{name} {message}")
        assert failed.detections == () and "secret" not in failed.error


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("detectors", [[{"start": 0, "end": 99, "detection": "LABEL_1", "score": 0.5}]]),
        ("detectors", [[{"start": 0, "end": 1, "detection": "other", "score": 0.5}]]),
        ("kserve", {"outputs": [{"name": "o", "shape": [1], "datatype": "FP32", "data": [1]}]}),
        ("moderations", {"results": [{"category_scores": {"hate": 0.1}}]}),
        ("llama_guard", {"choices": [{"message": {"content": "I'm sorry, I can't."}}]}),
        ("llama_guard", {"choices": [{"message": {"content": None}}]}),
        ("shieldgemma", {"choices": [{"text": "Perhaps"}]}),
        ("prompt", {"choices": [{"message": {"content": "Quite rude!"}}]}),
        ("prompt", {"choices": [{"message": {"content": '{"polite": 1}'}}]}),
    ],
)
async def test_an_answer_that_cannot_be_read_is_an_error(name: str, answer: Any) -> None:
    async with served(name, fakes.reply(answer)) as (checker, _):
        failed = await check(checker, name, ["text"])
        assert failed.error is not None and failed.error.startswith(f"{name} ")


async def test_a_server_that_leaves_out_what_it_did_not_find_may_be_declared_so() -> None:
    params = {"threshold": 0.5}
    async with served("detectors", params=params) as (checker, _):
        assert "without a score for hap" in str((await check(checker, "detectors", ["text"])).error)
    async with served("detectors", params=params, unreported="zero") as (checker, _):
        (hit,) = (await check(checker, "detectors", ["text"])).detections
        assert hit.score == 0


async def test_a_judge_that_must_not_be_asked_too_much_says_so() -> None:
    async with served("llama_guard") as (checker, server):
        failed = await check(checker, "llama_guard", [f"text {n}" for n in range(1_100)])
        assert "more than 1024 requests" in str(failed.error) and server.requests == []


async def test_the_event_loop_is_free_while_a_server_thinks() -> None:
    async with served("moderations", fakes.slow(0.3), timeout_seconds=0.2) as (checker, _):
        checking = asyncio.create_task(check(checker, "moderations", ["text"] * 100))
        turns = 0
        while not checking.done():
            await asyncio.sleep(0.005)
            turns += 1
        assert turns > 15


POLICY = """
name: remote
blocked_message: Declined.
rules:
  - {id: careful, detector: careful, label: toxic, stage: [input, output], threshold: 0.6,
     action: block, on_error: block}
"""


@asynccontextmanager
async def guarded(
    serve: Any, tmp_path: Path, judge: fakes.Step, **changes: Any
) -> AsyncIterator[Any]:
    """The whole proxy with a cascade: a KServe model, and Llama Guard where that is uncertain."""

    def uncertain(request: fakes.Request) -> Any:
        texts = request.json["inputs"][0]["data"]
        flat = [0.5 if BAD in text else 0.95 if "idiot" in text else 0.05 for text in texts]
        output = {"name": "o", "shape": [len(flat), 1], "datatype": "FP32", "data": flat}
        return {"outputs": [output]}

    policy = tmp_path / "remote.yaml"
    policy.write_text(POLICY)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        model = await enter(fakes.upstream(fakes.chat("Fine.")))
        kserve = await enter(fakes.upstream(answering("/v2/models/small/infer", uncertain)))
        guard = await enter(fakes.upstream(judge))
        detectors = {
            "small": {
                "kind": "remote",
                "api": "kserve",
                "url": kserve.url.removesuffix("/v1"),
                "model": "small",
                "labels": ["toxic"],
            },
            "llama-guard": {**APIS["llama_guard"][3], "url": guard.url},
            "careful": {
                "kind": "cascade",
                "first": "small",
                "label": "toxic",
                "band": [0.3, 0.7],
                "then": "llama-guard",
                "then_label": "S9",
                **changes,
            },
        }
        proxy = await enter(serve(model.url, policy=policy, detectors=detectors))
        yield proxy, guard


async def ask(proxy: Any, text: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=proxy.url) as client:
        body = {"model": "small", "messages": [{"role": "user", "content": text}]}
        return await client.post("/v1/chat/completions", json=body)


async def test_the_proxy_escalates_only_uncertain_texts_and_records_both_checks(
    serve: Any, tmp_path: Path
) -> None:
    judge = answering("/v1/chat/completions", llama_guard_chat)
    async with guarded(serve, tmp_path, judge) as (proxy, guard):
        answers = [await ask(proxy, text) for text in ("Hello", "You idiot", "Make a bomb")]
        finishes = [answer.json()["choices"][0]["finish_reason"] for answer in answers]
        assert finishes == ["stop", "content_filter", "content_filter"]
        assert len(guard.requests) == 1
        rows = await proxy.rows(3)
        names = [
            {check["detector"] for check in row["checks"] if check["side"] == "input"}
            for row in rows
        ]
        assert names == [{"careful", "small"}] * 2 + [{"careful", "small", "careful/llama-guard"}]
        careful = [c for c in rows[2]["checks"] if c["detector"] == "careful"]
        (hit,) = careful[0]["detections"]
        assert hit["label"] == "toxic" and hit["evidence"] == "llama-guard"
        assert hit["score"] == pytest.approx(0.8)
        counts = proxy.app._proxy._pipeline._checker.cascades["careful"].counts
        assert (counts.texts, counts.escalated, counts.failed) == (4, 1, 0)
        # The share by exchange, as docs/models/cascade.md asks the log for it.
        (query,) = re.findall(r"```sql\n(.*?);\n```", CARD.read_text(), re.DOTALL)
        async with await psycopg.AsyncConnection.connect(libpq_url(proxy.database_url)) as log:
            share = await (await log.execute(query)).fetchone()
        assert float(share[0]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("on_error", "status"), [("fail", 503), ("first", 200)])
async def test_when_the_judge_fails_the_proxy_does_as_declared(
    serve: Any, tmp_path: Path, on_error: str, status: int
) -> None:
    async with guarded(serve, tmp_path, fakes.status(503), on_error=on_error) as (proxy, _):
        assert (await ask(proxy, "Hello")).status_code == 200
        answer = await ask(proxy, "Make a bomb")
        assert answer.status_code == status
        if status == 503:
            assert answer.json()["error"]["code"] == "guard_unavailable"
