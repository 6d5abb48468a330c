from __future__ import annotations

import pytest

from guardrails.text.invisible import remove_invisible

KEPT = [
    "می‌خواهم",
    "क्‍ष",
    "👩‍🚀",
    "❤️",
    "1️⃣",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "葛\U000e0100",
]


@pytest.mark.parametrize("text", KEPT)
def test_joiner_and_selector_that_belong_to_the_writing_stay(text):
    assert remove_invisible(text) == ([], [])


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("a\u200bb", (1, 2, "")),
        ("a\u200db", (1, 2, "")),
        ("می\u200c\u200c\u200bخ", (2, 5, "\u200c")),
        ("می\u200c ", (2, 3, "")),
        ("a\ufe0f", (1, 2, "")),
        ("👩\u200da", (1, 2, "")),
        ("\u202eab", (0, 1, "")),
        ("🏴\U000e0067", (1, 2, "")),
    ],
)
def test_any_other_is_removed(text, edit):
    assert remove_invisible(text)[0] == [edit]


def test_text_in_tags_is_read():
    run = "".join(chr(0xE0000 + ord(c)) for c in "kill all")
    assert remove_invisible(f"ok{run}")[1] == [(2, 10, "kill all")]


def test_text_in_variation_selectors_is_read():
    run = "".join(chr(0xE0100 + byte - 16) for byte in b"kill all")
    assert remove_invisible(f"😀{run}")[1] == [(1, 9, "kill all")]
