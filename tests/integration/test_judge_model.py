"""A judge that is a real model: `transformers serve` over HTTP, with random weights."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from guardrails.checks import Checker
from guardrails.demo.server import DemoServer
from guardrails.demo.transformers import application
from guardrails.detectors import askers_of
from guardrails.types import Check, Segment, Stage
from tests.integration.demo.test_transformers import MODEL, write_tiny_model

TEMPLATE = "{% block user %}How rude is this? <text>{{ question }}</text>{% endblock %}"
SCHEMA = {
    "type": "object",
    "properties": {"rude": {"enum": [0, 0.25, 1]}},
    "required": ["rude"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "scores", "schema": SCHEMA}}


@pytest.fixture(scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    parent = tmp_path_factory.mktemp("models")
    write_tiny_model(parent / MODEL)
    before = Path.cwd()
    os.chdir(parent)
    app = DemoServer(application(MODEL, threads=1), MODEL)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        await serving
        os.chdir(before)


async def judge(url: str, texts: list[str], **options: Any) -> Check:
    settings = {"kind": "judge", "url": url, "model": MODEL, "timeout_seconds": 60, **options}
    askers = askers_of({"judge": settings})
    segments = [Segment(Stage.INPUT, "user", number, (), text) for number, text in enumerate(texts)]
    try:
        checker = Checker({}, None, askers=askers)
        (check,) = await checker.run(["judge"], segments, Stage.INPUT, timeout_seconds=60)
        return check
    finally:
        await askers["judge"].aclose()


async def test_a_model_that_is_held_to_a_schema_scores_each_text(url: str) -> None:
    options = {"format": "prompt", "labels": ["rude"], "template": TEMPLATE, "most_tokens": 60}
    check = await judge(
        url,
        ["Good morning.", "You idiot."],
        logprobs=False,
        extra={"response_format": FORM},
        **options,
    )
    assert check.error is None
    (hit,) = check.detections
    assert hit.label == "rude" and hit.score in (0, 0.25, 1)


async def test_a_model_that_is_no_judge_is_an_error_and_never_a_score(url: str) -> None:
    check = await judge(url, ["Good morning."], format="llama_guard")
    assert check.error is not None and "neither `safe` nor `unsafe`" in check.error
