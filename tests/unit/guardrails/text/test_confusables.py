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
        ("🇰🇮🇱🇱🇸", "KILLS"),
        ("ᖴᑌᑕK", "FUCK"),
        ("ꓲꓓꓲꓳꓔ", "IDIOT"),
        ("ѕtսpіԁ", "stupid"),
        ("ɓ๏mɓ ɨdɨ๏t", "bomb idiot"),
        ("яussian", "Russian"),
        ("fụck", "fuck"),
        ("ṣẹḷf", "self"),
        # One disguised word speaks against the others that could be Russian.
        ("еуе аnd кеу", "eye and key"),
    ],
)
def test_mixed_word_becomes_one_script(text, read):
    assert made(text, unmix_scripts(text)) == read


@pytest.mark.parametrize(
    "text",
    [
        *("сор", "рот и нос", "SMSка", "VKонтакте", "ουρανός", "IFNγ", "TGFβ1", "μm", "Tokyo東京"),
        *(
            "🅰🅱",
            "Ёлка",
            "рот кеу",
            "🇩🇪🇫🇷 🇮🇹🇪🇸🇵🇹",
            "ɗan sanda, ƙwai",
            "hạng nhất",
            "løst, hâte, naïve",
        ),
        "Он сказал: рот, нос; iPhone",
    ],
)
def test_word_of_one_script_and_honest_mixtures_stay(text):
    assert unmix_scripts(text) == []
