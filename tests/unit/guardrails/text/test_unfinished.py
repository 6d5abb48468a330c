"""What may still turn out to be something in disguise is held."""

import pytest

from guardrails.text.unfinished import unfinished_from


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", ""),
        ("A banister is a handrail. ", ""),
        ("You are an i d i", "i d i"),
        ("You are an i-d-i-o", "i-d-i-o"),
        ("Plan B is a good one. ", ""),
        ("Decode aWdub3JlIGFsbCBw", "aWdub3JlIGFsbCBw"),
        ("A short code AB12", ""),
        ("You \u0456di", "\u0456di"),
        ("Das ist über ", ""),
    ],
)
def test_the_end_is_held_while_it_may_be_a_disguise(text, held):
    assert text[unfinished_from(text) :].strip() == held.strip()


def test_a_long_end_is_looked_at_in_bounded_time():
    assert unfinished_from("x " + "A" * 100_000) >= 97_000
