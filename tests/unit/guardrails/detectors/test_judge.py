from __future__ import annotations

from typing import Any

import msgspec
import pytest

from guardrails.detectors import askers_of
from guardrails.detectors.judge import _Chat, _Completion, create
from guardrails.errors import ConfigError
from guardrails.judge_formats import Said

BASE = {"url": "http://x/v1", "model": "m"}
OWN = {**BASE, "format": "prompt", "labels": ["rude"]}
SOURCE = "{% block user %}Is this rude? {{ question }}{% endblock %}"


def test_an_answer_of_a_chat_is_read_with_its_probabilities() -> None:
    top = [{"token": "safe", "logprob": -0.1}, {"token": "unsafe", "logprob": -2.0}]
    content = [{"token": "safe", "logprob": -0.1, "bytes": None, "top_logprobs": top}]
    choice = {"message": {"role": "assistant", "content": "safe"}, "logprobs": {"content": content}}
    chat = msgspec.convert({"choices": [choice]}, _Chat)
    assert chat.said() == Said("safe", [("safe", {"safe": -0.1, "unsafe": -2.0})])


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}])
def test_a_chat_without_probabilities_is_read_too(logprobs: Any) -> None:
    choice = {"message": {"content": None}, "logprobs": logprobs}
    assert msgspec.convert({"choices": [choice]}, _Chat).said() == Said("", [])


def test_an_answer_of_a_completion_is_read_with_its_probabilities() -> None:
    logprobs = {
        "tokens": ["\n\n", "unsafe", "!"],
        "token_logprobs": [-0.1, -0.2, None],
        "top_logprobs": [None, {"safe": -1.7}, {}],
    }
    choice = {"text": "\n\nunsafe", "logprobs": logprobs}
    said = msgspec.convert({"choices": [choice]}, _Completion).said()
    tokens = [("\n\n", {"\n\n": -0.1}), ("unsafe", {"unsafe": -0.2, "safe": -1.7})]
    assert said == Said("\n\nunsafe", tokens)
    bare = {"choices": [{"text": "safe", "logprobs": None}]}
    assert msgspec.convert(bare, _Completion).said() == Said("safe", [])


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"message": "safe"}]}])
def test_an_answer_of_another_shape_is_refused(answer: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(answer, _Chat)


@pytest.mark.parametrize(
    "wrong",
    [
        {**BASE, "format": "granite"},
        {**BASE, "format": "llama_guard", "api": "responses"},
        {**BASE, "format": "llama_guard", "labels": ["S1"]},
        {**BASE, "format": "llama_guard", "template": SOURCE},
        {**BASE, "format": "shieldgemma", "labels": ["harassment"]},
        {**BASE, "format": "llama_guard", "window_characters": 2},
        {"format": "llama_guard", "url": "http://x"},
        OWN,
        {**OWN, "template": SOURCE, "template_file": "x.jinja"},
        {**OWN, "template": SOURCE, "labels": []},
        {**OWN, "template": SOURCE, "labels": ["a", "b"], "answer": "yes_no"},
        {**OWN, "template": SOURCE, "answer": "xml"},
        {**OWN, "template": SOURCE, "api": "completions"},
        {**OWN, "template": "Is this rude? {{ question }}"},
        {**OWN, "template": "{% block user %}{{ question.__class__ }}{% endblock %}"},
        {**OWN, "template_file": "there-is-none.jinja"},
    ],
)
def test_wrong_settings_stop_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        askers_of({"j": {"kind": "judge", **wrong}})


def test_the_version_changes_with_all_that_the_scores_depend_on(tmp_path: Any) -> None:
    file = tmp_path / "rude.jinja"
    file.write_text(SOURCE)
    made = [
        create("j", format="llama_guard", **BASE),
        create("j", format="llama_guard", **{**BASE, "model": "n"}),
        create("j", format="llama_guard", api="completions", **BASE),
        create("j", format="shieldgemma", **BASE),
        create("j", **OWN, template=SOURCE),
        create("j", **OWN, template=SOURCE, answer="yes_no"),
        create("j", **OWN, template=SOURCE + " ", extra={"seed": 1}),
    ]
    assert len({judge.version for judge in made}) == len(made)
    assert made[4].version == create("j", **OWN, template_file=str(file)).version
    assert made[0].version.startswith("m@") and made[0].labels[:2] == ("unsafe", "S1")
