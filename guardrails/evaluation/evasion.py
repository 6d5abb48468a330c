"""How much does a detector lose when harmful text is garbled, and what does harmless text suffer?

A metamorphic matrix: each transformation garbles a text without changing what a reader takes from
it. It is applied to harmful rows, where recall must not fall, and to their benign twins, where
nothing may be flagged. The look-alikes are written down here and not taken from
`guardrails.text.confusables`: an attacker does not read our table.
"""

from __future__ import annotations

import base64
import codecs
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from guardrails.evaluation.measures import Interval, wilson
from guardrails.text.normalise import normalise

Transformation = Callable[[str, random.Random], str]
Score = Callable[[Sequence[str]], Sequence[float]]
"""The score of each text: the label in question, or the highest of several."""

_LETTER = re.compile(r"[^\W\d_]")
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_EMOJI = "😀🔥🎉🙈💯🌸🍀🐍"
_LEET = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"}
_SIGNS = _LEET | {"a": "@", "s": "$", "i": "!", "g": "9", "b": "8"}
_PLAIN = "abcdefghijklmnopqrstuvwxyz"
_CYRILLIC_GREEK = dict(zip("aceiopsxyjhkmtbnv", "асеіορѕхуϳһкмтЬпν", strict=True))
# One look-alike a letter from scripts that are rarely used for this, `.` for none.
_WIDE_ALPHABETS = (
    "ᗩᗷᑕᗪᗴᖴᏀᕼIᒍᏦᒪᗰᑎOᑭɊᖇᔕTᑌᐯᗯ᙭Yᘔ",
    "ąҍçժҽƒցհìʝҟӀʍղօքզɾʂէմѵառӿվՀ",
    "ค๒ς๔єŦﻮђเןкl๓ภ๏קợгรtยשฬאץz",
    "ɑɓƈɗɘʄɠɦɨʝƙɭɱɲɵƥʠɾʂƭʉʋɯʗɣʐ",
    "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑ.ꓣꓢꓔꓴꓦꓪꓫꓬꓜ",
    "ᎪᏴᏟᎠᎬᎰᏀᎻᎥᎫᏦᏞᎷ.ᎾᏢ.ᏒᏚᎢ.ᏙᏔ.ᎽᏃ",
    "ⲁⲃⲥⲇⲉ..ⲏⲓ.ⲕ.ⲙⲛⲟⲣ..ꞅⲧⲩ..ⲭⲩⲍ",
    "ạḅċḍẹḟġḥịĵḳḷṃṇọṗ.ṛṣṭụṿẉẋỵẓ",
)
_WIDE = {
    letter: [a[i] for a in _WIDE_ALPHABETS if a[i : i + 1] not in ("", ".", letter)]
    for i, letter in enumerate(_PLAIN)
}


def _between(marks: str, *, letters_only: bool = True) -> Transformation:
    """A mark of `marks` behind each letter that has another behind it."""

    def garble(text: str, rng: random.Random) -> str:
        return re.sub(
            r"([^\W\d_])(?=[^\W\d_])" if letters_only else r"(\S)",
            lambda match: match[0] + rng.choice(marks),
            text,
        )

    return garble


def _mapped(table: Mapping[str, str | Sequence[str]], share: float = 1.0) -> Transformation:
    def garble(text: str, rng: random.Random) -> str:
        return "".join(
            rng.choice(table[c.lower()]) if c.lower() in table and rng.random() < share else c
            for c in text
        )

    return garble


def _shifted(lower: int, upper: int) -> Transformation:
    def garble(text: str, _rng: random.Random) -> str:
        return "".join(
            chr(ord(c) - 97 + lower)
            if "a" <= c <= "z"
            else chr(ord(c) - 65 + upper)
            if "A" <= c <= "Z"
            else c
            for c in text
        )

    return garble


def _full_width(text: str, _rng: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _tags(text: str, _rng: random.Random) -> str:
    hidden = "".join(chr(0xE0000 + ord(c)) for c in text if " " <= c <= "~")
    return f"Have a nice day!{hidden}"


def _smuggled(text: str, _rng: random.Random) -> str:
    data = text.encode()
    return "Have a nice day!" + "".join(
        chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in data
    )


def _bidi(text: str, _rng: random.Random) -> str:
    """Every word backwards between overrides of the direction: it looks the same."""
    return re.sub(r"[A-Za-z]{2,}", lambda match: f"\u202e{match[0][::-1]}\u202c", text)


def _isolates(text: str, _rng: random.Random) -> str:
    return re.sub(r"(\w{2})(?=\w)", "\\1\u2067\u2069", text)


def _strokes(text: str, _rng: random.Random) -> str:
    return _LETTER.sub(lambda match: match[0] + "\u0336", text)


def _spaced(separator: str, between_words: str) -> Transformation:
    def garble(text: str, _rng: random.Random) -> str:
        return between_words.join(separator.join(word) for word in text.split())

    return garble


def _rot13(text: str, _rng: random.Random) -> str:
    return codecs.encode(text, "rot13")


def _small_capitals(text: str, _rng: random.Random) -> str:
    return text.lower().translate(
        str.maketrans("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")
    )


TRANSFORMATIONS: Mapping[str, Transformation] = {
    "as written": lambda text, _rng: text,
    "zero-width between letters": _between(_INVISIBLE[:1]),
    "invisible, of all kinds": _between(_INVISIBLE),
    "variation selector between letters": _between("\ufe00\ufe0e\ufe0f\U000e0101"),
    "hidden in tags": _tags,
    "hidden in variation selectors": _smuggled,
    "look-alikes, Cyrillic and Greek": _mapped(_CYRILLIC_GREEK),
    "look-alikes, every other letter": _mapped(_CYRILLIC_GREEK, 0.5),
    "look-alikes, rare, one letter in three": _mapped(_WIDE, 0.34),
    "look-alikes, rare, every letter": _mapped(_WIDE),
    "small capitals": _small_capitals,
    "full-width": _full_width,
    "letters of mathematics, bold": _shifted(0x1D41A, 0x1D400),
    "letters of mathematics, Fraktur": _shifted(0x1D586, 0x1D56C),
    "circled letters": _shifted(0x24D0, 0x24B6),
    "regional indicators": _shifted(0x1F1E6, 0x1F1E6),
    "leet, half": _mapped(_LEET, 0.5),
    "leet, every letter": _mapped(_LEET),
    "leet with signs": _mapped(_SIGNS),
    "overridden direction": _bidi,
    "direction isolates": _isolates,
    "strokes": _strokes,
    "letters apart, words wider": _spaced(" ", "   "),
    "letters apart, evenly": _spaced(" ", " "),
    "dots between letters": _spaced(".", " "),
    "emoji between letters": _between(_EMOJI),
    "emoji in some words": lambda text, rng: re.sub(
        r"\b(\w{2,3})(\w{2,})\b",
        lambda match: match[1] + rng.choice(_EMOJI) + match[2] if rng.random() < 0.5 else match[0],
        text,
    ),
    "base64": lambda text, _rng: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text, _rng: text.encode().hex(),
    "rot13": _rot13,
}  # fmt: skip
"""Each takes a text and a source of chance."""


class Effect(msgspec.Struct, frozen=True):
    """What one transformation does.

    `lost` is how much of the recall on the rows as written is gone, in [-1, 1].
    """

    transformation: str
    recall: Interval
    lost: float
    harmful: int
    false_positives: Interval
    benign: int


def canonical(score: Score) -> Score:
    """The scorer behind the normaliser, as an exchange meets it: the highest of all readings."""

    def scored(texts: Sequence[str]) -> list[float]:
        found = [normalise(text) for text in texts]
        readings = [[each.text, *(said for _, _, said in each.extra)] for each in found]
        scores = iter(score([reading for several in readings for reading in several]))
        return [max(next(scores) for _ in several) for several in readings]

    return scored


def remembering(score: Score) -> Score:
    """The same scorer, asked once a text: canonical readings of one text are mostly alike."""
    known: dict[str, float] = {}

    def scored(texts: Sequence[str]) -> list[float]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, map(float, score(new)), strict=True))
        return [known[text] for text in texts]

    return scored


def matrix(
    score: Score,
    harmful: Sequence[str],
    benign: Sequence[str],
    *,
    threshold: float,
    transformations: Iterable[str] = tuple(TRANSFORMATIONS),
    seed: int = 17,
    progress: Callable[[str], None] = lambda _name: None,
) -> list[Effect]:
    """The effect of each transformation; a text is flagged from `threshold` on.

    `score` reads the text as it is given: hand in `canonical(score)` for what an exchange meets.
    Limits: at least one harmful and one benign text; KeyError for an unknown transformation.
    Cost:   two texts a row and transformation; `remembering` spares most of it.
    """
    plain = float(np.mean(np.asarray(score(harmful)) >= threshold))
    effects = []
    for name in transformations:
        rng = random.Random(f"{seed} {name}")  # noqa: S311 - reproducible, not secret
        garble = TRANSFORMATIONS[name]
        hits = np.asarray(score([garble(text, rng) for text in harmful])) >= threshold
        alarms = np.asarray(score([garble(text, rng) for text in benign])) >= threshold
        recall = wilson(int(hits.sum()), len(hits))
        effects.append(
            Effect(
                name,
                recall,
                plain - recall.value,
                len(hits),
                wilson(int(alarms.sum()), len(alarms)),
                len(alarms),
            )
        )
        progress(name)
    return effects


def as_table(effects: Sequence[Effect]) -> str:
    """The effects as a table in Markdown, with 95 % intervals."""
    lines = [
        "| transformation | recall | lost, points | false positives | harmful / benign |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {e.transformation} | {_interval(e.recall)} | {100 * e.lost:+.1f} "
        f"| {_interval(e.false_positives)} | {e.harmful} / {e.benign} |"
        for e in effects
    ]
    return "\n".join(lines)


def _interval(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:.1f} % ({low:.1f} to {high:.1f})"
