"""`banister evaluate` of what another machine runs and of a cascade, against a real server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from guardrails.evaluation.command import evaluate
from tests import fakes
from tests.integration.test_remote_detectors import answering

# The cheap detector is unsure of "maybe"; what follows tells the dear one.
ROWS = [
    *({"text": f"bad {number}", "label": 1} for number in range(6)),
    *({"text": f"good {number}", "label": 0} for number in range(6)),
    *({"text": f"maybe really {number}", "label": 1} for number in range(2)),
    *({"text": f"maybe not {number}", "label": 0} for number in range(2)),
]


def scores(request: fakes.Request) -> Any:
    """Two models behind one server of moderations."""
    asked = request.json
    table = {"bad": 0.9, "maybe": 0.5} if asked["model"] == "cheap" else {"really": 0.97}
    results = [
        {"category_scores": {"toxic": max(table.get(word, 0.02) for word in text.split())}}
        for text in asked["input"]
    ]
    return {"results": results}


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """The server in a thread of its own, for the command runs a loop of its own."""
    started, ended, urls = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with fakes.upstream(answering("/v1/moderations", scores)) as server:
            urls.append(server.url)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait(5)
    yield urls[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join(5)
    loop.close()


@pytest.fixture
def run(server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    remote = {"kind": "remote", "api": "moderations", "url": server_url, "labels": ["toxic"]}
    tiers = {"first": "cheap", "label": "toxic", "band": [0.3, 0.7], "then": "dear"}
    settings = {
        "cheap": {**remote, "model": "cheap"},
        "dear": {**remote, "model": "dear"},
        "gone": {**remote, "url": "http://127.0.0.1:9/v1"},
        "careful": {"kind": "cascade", **tiers},
        "unsure": {"kind": "cascade", **tiers, "then": "gone"},
        "wrong": {"kind": "cascade", **tiers, "then_label": "rude"},
    }
    monkeypatch.setenv("BANISTER_DETECTORS", json.dumps(settings))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def evaluated(detector: str) -> tuple[Result, Any]:
        out = tmp_path / f"{detector}.json"
        result = CliRunner().invoke(evaluate, [detector, "--on", str(rows), "--json", str(out)])
        return result, json.loads(out.read_text()) if out.exists() else None

    return evaluated


def test_a_cascade_is_measured_with_the_share_that_it_escalates(run: Any) -> None:
    result, answer = run("careful")
    assert result.exit_code == 0, result.output
    assert answer["share_escalated"] == 4 / 16
    assert "25.0% of the texts went on to dear." in result.output
    assert answer["version"] == "moderations:cheap@1 > moderations:dear@1"
    (measured,) = answer["reports"][0]["measures"]
    assert measured["label"] == "toxic"
    assert (measured["recall"]["value"], measured["false_positives"]["value"]) == (1.0, 0.0)


def test_its_first_detector_alone_does_worse(run: Any) -> None:
    result, answer = run("cheap")
    assert result.exit_code == 0, result.output
    assert "share_escalated" not in answer
    (measured,) = answer["reports"][0]["measures"]
    assert measured["false_positives"]["value"] == 2 / 8


@pytest.mark.parametrize(
    ("detector", "said"),
    [
        ("unsure", "gone failed: The upstream cannot be reached"),
        ("wrong", "dear has no label 'rude'"),
        ("patterns", "finds spans"),
    ],
)
def test_what_cannot_be_measured_is_said_and_gives_no_figures(
    run: Any, detector: str, said: str
) -> None:
    result, answer = run(detector)
    assert result.exit_code == 1 and said in result.output and answer is None
