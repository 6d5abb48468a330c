from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from guardrails.batch.judge import How, Judge
from guardrails.errors import ConfigError
from guardrails.settings import Settings
from guardrails.types import Stage
from tests import fakes
from tests.integration.conftest import BLOCK_INPUT, REDACT_OUTPUT, Serve, policy_text

WORDS = {"patterns": {"words": {"forbidden": ["xyzzy"], "suspect": ["plugh"]}}}


def line(**row: object) -> bytes:
    return json.dumps(row).encode()


async def test_lines_are_asked_through_the_proxy_guarded_and_recorded(
    serve: Serve, tmp_path: Path
) -> None:
    async with fakes.upstream() as model, serve(model.url, rules=(BLOCK_INPUT,)) as served:
        how = How(ask=f"{served.url}/v1", model="small")
        judge = Judge(Settings(data_dir=tmp_path), how)
        await judge.start()
        answers = await judge.answers(
            [line(id=1, text="What is a stair?"), b"nonsense", line(id=3, text="Say xyzzy.")]
        )
        await judge.stop()
        rows = await served.rows(2)
    good, faulty, bad = (json.loads(answer) for answer in answers)
    said = good["answer"]["choices"][0]["message"]["content"]
    assert (good["id"], good["status"], good["action"]) == (1, 200, "allow")
    assert said == "Echo: What is a stair?"
    assert faulty == {"error": "not JSON"}
    assert (bad["id"], bad["action"]) == (3, "block")
    assert bad["answer"]["choices"][0]["finish_reason"] == "content_filter"
    assert sorted(row["decision"] for row in rows) == ["allow", "block"]


async def test_a_proxy_that_is_away_is_said_to_be_in_each_answer() -> None:
    judge = Judge(Settings(), How(ask="http://127.0.0.1:9/v1", model="small"))
    (answer,) = await judge.answers([line(id=1, text="Hello")])
    assert json.loads(answer) == {"id": 1, "error": "the proxy: ConnectionRefusedError"}


async def test_an_address_that_is_none_is_refused() -> None:
    judge = Judge(Settings(), How(ask="nowhere"))
    with pytest.raises(ConfigError, match="address of a proxy"):
        await judge.answers([line(text="Hello")])


async def test_texts_are_held_to_the_rules_of_their_stage(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text(BLOCK_INPUT, REDACT_OUTPUT))
    settings = Settings(data_dir=tmp_path, policy=policy, detectors=WORDS)
    judge = Judge(settings, How(stage=Stage.OUTPUT))
    async with asyncio.timeout(100):
        await judge.start()
        try:
            answers = await judge.answers(
                [
                    line(text="xyzzy"),
                    line(text="xyzzy", stage="input"),
                    line(text="my key is AKIA" + "IOSFODNN7EXAMPLE"),
                ]
            )
        finally:
            await judge.stop()
    actions = [json.loads(answer)["action"] for answer in answers]
    assert actions == ["allow", "block", "redact"]
