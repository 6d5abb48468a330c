"""Which words are interrupted by emoji (`idi😀ot`) or by a sign (`fu-ck`)?

A word is joined where that gives a known one and its pieces are none themselves, so `I❤NY`,
`good👍job` and `well-known` stay. A sign counts only before the end of a strong word. Once a text
has a strong word or two words so written, its other words of single letters are joined too.
"""

from __future__ import annotations

import re
import unicodedata

from guardrails.text.edits import Edit
from guardrails.text.leet import is_spelled
from guardrails.text.words import KNOWN, STRONG, is_known

_EMOJI = (
    "[\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0e\ufe0f\u200d"
    "\U0001f000-\U0001f0ff\U0001f18e-\U0001f1e5\U0001f200-\U0001faff]"
)
_SIGN = r"[-.*_~|+^'`\"\\,;:/=#&()\[\]{}<>]"
HINT = rf"[\pL\pN]{_EMOJI}+[\pL\pN]|\pL{_SIGN}\pL"
"""A regex of RE2 without which no word is interrupted."""

_TOKEN = re.compile(
    rf"(?<![^\W_])[^\W_]{{1,24}}(?:(?:{_EMOJI}{{1,12}}|{_SIGN})[^\W_]{{1,24}})+(?![^\W_])"
)
_GAP = re.compile(rf"{_EMOJI}+|{_SIGN}")
_ENOUGH_LETTERS = 4


def join_interrupted(text: str) -> list[Edit]:
    """The edits that take the gaps out of such words."""
    sure: list[re.Match[str]] = []
    spelled: list[re.Match[str]] = []
    strong = 0
    for token in _TOKEN.finditer(text):
        word = _GAP.sub("", token[0])
        pieces = _GAP.split(token[0])
        lower = word.lower()
        if lower in STRONG and len(word) >= _ENOUGH_LETTERS and not all(map(_is_word, pieces)):
            strong += 1
            sure.append(token)
        elif not any(map(_by_emoji, _GAP.findall(token[0]))):
            continue
        elif _reads(word, pieces):
            sure.append(token)
        elif not all(map(_is_word, pieces)):
            spelled.append(token)
    if strong or len(sure) > 1:
        sure += spelled
    return sorted((*gap.span(), "") for token in sure for gap in _GAP.finditer(text, *token.span()))


def _by_emoji(gap: str) -> bool:
    return gap > "\u2000"


def _is_word(piece: str) -> bool:
    return len(piece) > 1 and piece.lower() in KNOWN


def _reads(word: str, pieces: list[str]) -> bool:
    """Whether the pieces make one known word, or spell something in another script."""
    if len(pieces) >= _ENOUGH_LETTERS and all(len(piece) == 1 for piece in pieces):
        is_latin = "LATIN" in unicodedata.name(word[0], "LATIN")
        return is_spelled(word) or (word.isalpha() and not is_latin)
    return len(word) > 2 and is_known(word.lower()) and not all(map(_is_word, pieces))
