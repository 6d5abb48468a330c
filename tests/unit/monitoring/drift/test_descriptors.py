import pytest

from monitoring.drift.descriptors import REFUSAL, code_share, describe, refuses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I’m unable to do this.", True),
        ("As an AI, I have no opinion.", True),
        ("Es tut mir leid, das geht nicht.", True),
        ("Sorry to hear that! Here is what helps.", False),
        ("I can do that: first, take an egg.", False),
        ("", False),
    ],
)
def test_refusal(text: str, expected: bool):
    assert refuses(text) is expected


def test_refusal_is_spelt_so_that_postgres_reads_it_alike():
    assert "\\b" not in REFUSAL
    assert "’" not in REFUSAL


def test_code_is_what_is_fenced_or_looks_like_it():
    assert code_share("Please explain how bread rises.") == 0.0
    assert code_share("Fix:\n```\nx = 1\n```") > 0.7
    assert 0.5 < code_share("def f(x):\n    return x\nwhat is it?") < 0.8
    assert describe("").code_share == 0.0
    assert describe("I'm sorry").refusal
