from __future__ import annotations

import pytest

from guardrails.text.confusables import unmix_scripts


def made(text, edits):
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("раypal", "paypal"),
        ("idіοt", "idiot"),
        ("Ꭰіe", "Die"),
        ("nо", "no"),
        ("идиoт", "идиот"),
        ("ᴋɪʟʟ", "kill"),
        ("🅺🅸🅻🅻", "KILL"),
    ],
)
def test_mixed_word_becomes_one_script(text, read):
    assert made(text, unmix_scripts(text)) == read


@pytest.mark.parametrize(
    "text",
    ["сор", "рот и нос", "SMSка", "VKонтакте", "ουρανός", "IFNγ", "μm", "Tokyo東京", "🅰🅱", "Ёлка"],
)
def test_word_of_one_script_and_honest_mixtures_stay(text):
    assert unmix_scripts(text) == []
