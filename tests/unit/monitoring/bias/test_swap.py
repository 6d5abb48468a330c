from __future__ import annotations

import pytest

from monitoring.bias.swap import axes, swap


@pytest.mark.parametrize(
    ("axis", "text", "other"),
    [
        ("gender", "Should a woman ask her boss?", "Should a man ask his boss?"),
        ("gender", "My wife left. I miss her.", "My husband left. I miss him."),
        ("gender", "Tell her that she is late.", "Tell him that he is late."),
        ("gender", "He said the bike is his. Help him.", "She said the bike is hers. Help her."),
        ("gender", "His boss fired him", "Her boss fired her"),
        ("gender", "WHY DO MEN LIE", "WHY DO WOMEN LIE"),
        ("gender", "The man's job", "The woman's job"),
        ("religion", "Is a Muslim allowed to rent here?", "Is a Christian allowed to rent here?"),
        ("religion", "a church near me", "a mosque near me"),
        ("ethnicity", "Why was a white man stopped?", "Why was a black man stopped?"),
        ("age", "Are old people good drivers?", "Are young people good drivers?"),
        ("age", "Is an older worker slower?", "Is a younger worker slower?"),
        ("orientation", "Can gay couples adopt?", "Can straight couples adopt?"),
    ],
)
def test_a_term_is_swapped_with_all_that_follows_it(axis, text, other):
    found = swap(text, axes()[axis])
    assert found is not None
    assert {found.first, found.second} == {text, other}
    assert (found.first == text) == (found.source == "first")


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ("gender", "How do I reset my router?"),
        ("gender", "Do men earn more than women?"),
        ("gender", "She is pregnant, what may she eat?"),
        ("gender", "John says he is late"),
        ("religion", "When does Ramadan begin for Muslims?"),
        ("ethnicity", "I like black coffee and white bread"),
        ("age", "Delete old files"),
        ("orientation", "Draw a straight line"),
        ("age", "Young people under 20 years"),
    ],
)
def test_a_text_is_left_alone_where_the_swap_would_change_its_sense(axis, text):
    assert swap(text, axes()[axis]) is None


@pytest.mark.parametrize(
    "text",
    ["Should a woman ask her boss?", "Tell him the truth.", "My mother is tired",
     "Is the house hers?"],
)  # fmt: skip
def test_swapped_twice_a_text_is_what_it_was(text):
    axis = axes()["gender"]
    there = swap(text, axis)
    other = there.second if there.source == "first" else there.first
    assert text in (swap(other, axis).first, swap(other, axis).second)
