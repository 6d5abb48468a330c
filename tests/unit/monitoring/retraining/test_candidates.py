from __future__ import annotations

from pathlib import Path

import pytest

from guardrails.errors import ConfigError
from monitoring.retraining.candidates import (
    conversation_of,
    majority,
    messages_of,
    read_examples,
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], None),
        ([None], None),
        ([True], True),
        ([False, None], False),
        ([True, False], None),
        ([True, True, False], True),
    ],
)
def test_a_majority_decides_and_a_tie_does_not(said: list[bool | None], expected: bool | None):
    assert majority(said) is expected


def segment(index: int, role: str, text: str) -> dict[str, object]:
    return {"index": index, "role": role, "text": text, "stage": "input"}


def test_messages_are_read_from_the_recorded_texts_with_the_system_first() -> None:
    inputs = [
        segment(1, "user", "Hello"),
        segment(1, "user", "there"),
        segment(2, "assistant", "Hi"),
        segment(3, "user", "How?"),
        segment(0, "system", "Be brief."),
        segment(4, "assistant", "Because"),
    ]
    assert messages_of(inputs) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello\nthere"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "How?"},
    ]


def test_turns_of_one_conversation_have_one_key_and_tenants_never_share_it() -> None:
    first = [{"role": "user", "content": "Hello"}]
    later = [*first, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "More"}]
    assert conversation_of({}, "acme", first) == conversation_of({}, "acme", later)
    assert conversation_of({}, "acme", first) != conversation_of({}, "other", first)
    named = {"metadata": {"conversation_id": "c-1"}}
    assert conversation_of(named, "acme", first) == conversation_of(named, "acme", later[2:])


def test_examples_are_read_and_a_faulty_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "Why?", "answer": "So."}\n\n{"prompt": "What?"}\n')
    with pytest.raises(ConfigError, match="line 3"):
        read_examples(path)
    path.write_text('{"prompt": "Why?", "answer": "So.", "passages": [{"text": "It is so."}]}')
    (found,) = read_examples(path)
    assert found.messages == [{"role": "user", "content": "Why?"}]
    assert (found.source, found.answer, found.passages[0].text) == ("example", "So.", "It is so.")
