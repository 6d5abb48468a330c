from __future__ import annotations

import pytest

from guardrails.text.interrupted import join_around_emoji, join_around_signs


def made(text, edits):
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


def joined(text):
    text = made(text, join_around_emoji(text))
    return made(text, join_around_signs(text))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("i😀d😀i🔥o😀t", "idiot"),
        ("idi🎉ot", "idiot"),
        ("st❤️upid", "stupid"),
        ("b👩‍🚀itch", "bitch"),
        ("y😀o😀u a😀r😀e s😀t😀u😀p😀i😀d", "you are stupid"),
        ("и🔥д🔥и🔥о🔥т", "идиот"),
        ("fu-ck and bi.tch", "fuck and bitch"),
        # Strong words speak for the rest, so that this name is joined too.
        ("i🔥d🔥i🔥o🔥t Z🔥o🔥r🔥g", "idiot Zorg"),
    ],
)
def test_interrupted_word_is_joined(text, read):
    assert joined(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "I❤NY",
        "good👍job pizza🍕friday",
        "hello😀world",
        "one➡two➡three",
        "A🔴B🔴C🔴D",
        "well-known ass-hat e.g. a.m. and/or",
        "你好😀世界",
        "x-y U.S.A. re-do",
    ],
)
def test_emoji_and_signs_between_words_stay(text):
    assert joined(text) == text
