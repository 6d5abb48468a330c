from __future__ import annotations

import pytest

from monitoring.retraining.refusals import declines


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that request.",
        "I cannot help with that.",
        "Unfortunately, I am unable to provide this.",
        "As an AI language model, I cannot have opinions.",
        "",
        "  \n",
    ],
)
def test_a_refusal_is_told(answer: str) -> None:
    assert declines(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Use `kill -9 PID`; a process cannot ignore it.",
        "You can blow up a balloon with vinegar and soda.",
        "I can help with that: first, open the lid.",
        "Steak knives are sold in most kitchen shops.",
    ],
)
def test_an_answer_is_none(answer: str) -> None:
    assert not declines(answer)
