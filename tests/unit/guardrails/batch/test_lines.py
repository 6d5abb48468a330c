from __future__ import annotations

import orjson
import pytest

from guardrails.batch.lines import Faulty, answered, parse, refused
from guardrails.types import Action, Reason, Stage, Verdict


@pytest.mark.parametrize(
    ("row", "texts", "role"),
    [
        ({"text": "Hello"}, ["Hello"], "user"),
        ({"prompt": "Hello", "id": 7}, ["Hello"], "user"),
        ({"text": "Hello", "stage": "output"}, ["Hello"], "assistant"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, ["Be brief."], "system"),
        (
            {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "Hi"}]}},
            ["Hi"],
            "user",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"x": 1}]}]},
            ["Hi"],
            "user",
        ),
    ],
)
def test_a_line_is_read_in_each_of_its_forms(row: object, texts: list[str], role: str) -> None:
    line = parse(orjson.dumps(row), Stage.INPUT)
    assert [segment.text for segment in line.segments] == texts
    assert line.segments[0].role == role


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "it needs `text`, `prompt` or `messages`"),
        (b'{"text": 3}', "it needs `text`, `prompt` or `messages`"),
        (b'{"text": "a", "stage": "x"}', "no such stage"),
        (b'{"messages": "a"}', "`messages` must be a list of objects"),
        (b'{"messages": [{"role": "user"}]}', "it holds no text"),
    ],
)
def test_a_faulty_line_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(Faulty) as caught:
        parse(raw, Stage.INPUT)
    assert str(caught.value) == why


def test_a_request_is_kept_for_the_model_without_what_is_ours() -> None:
    line = parse(b'{"id": 1, "text": "Hi", "temperature": 0.1, "stage": "input"}', Stage.INPUT)
    assert line.body == {"temperature": 0.1, "messages": [{"role": "user", "content": "Hi"}]}
    assert line.id == 1


def test_an_answer_holds_scores_and_never_the_text() -> None:
    line = parse(b'{"id": "a", "text": "secret words"}', Stage.INPUT)
    reason = Reason("r", "patterns", "secret", Action.BLOCK, Stage.INPUT, 0.5, score=0.91239)
    raw = answered(line, Verdict(Action.BLOCK, (reason,)), "p@1", {})
    assert orjson.loads(raw) == {
        "id": "a",
        "action": "block",
        "policy": "p@1",
        "reasons": [
            {
                "rule": "r",
                "detector": "patterns",
                "label": "secret",
                "action": "block",
                "score": 0.9124,
            }
        ],
    }
    assert orjson.loads(answered(line, Verdict(), "p@1", {"x": "late"}))["errors"] == {"x": "late"}


def test_a_faulty_line_keeps_its_id() -> None:
    assert orjson.loads(refused(b'{"id": 5}', "why")) == {"id": 5, "error": "why"}
    assert orjson.loads(refused(b"{", "why")) == {"error": "why"}
