"""Which words are interrupted by emoji (`idi😀ot`) or by a sign (`fu-ck`)?

A word is joined where that gives a known one and its pieces are none themselves, so `I❤NY`,
`good👍job` and `well-known` stay. A sign counts only before the end of a strong word. Once a text
has a strong word or two words so written, its other words of single letters are joined too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from guardrails.text.edits import Edit
from guardrails.text.spelled import is_spelled
from guardrails.text.words import KNOWN, STRONG, is_known

_EMOJI = (
    "[\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0e\ufe0f\u200d"
    "\U0001f000-\U0001f0ff\U0001f18e-\U0001f1e5\U0001f200-\U0001faff]"
)
_SIGN = r"[-.*_~|+^]"
EMOJI_HINT = rf"[\pL\pN]{_EMOJI}+[\pL\pN]"
SIGN_HINT = rf"\pL{_SIGN}\pL"
"""Regexes of RE2 without which no word is interrupted by emoji, or by a sign."""

# What stands within a word is looked for first, and then the word around it: most text has none.
_INNER_EMOJI = re.compile(rf"{_EMOJI}(?<=[^\W_].){_EMOJI}{{0,11}}(?=[^\W_])")
_INNER_SIGN = re.compile(rf"{_SIGN}(?<=[^\W_].)(?=[^\W_])")
_MOST_LETTERS = 24
_BY_EMOJI = re.compile(rf"(?<![^\W_])[^\W_]{{1,24}}(?:{_EMOJI}{{1,12}}[^\W_]{{1,24}})+(?![^\W_])")
_BY_SIGNS = re.compile(rf"(?<![^\W_])[^\W_]{{1,24}}(?:{_SIGN}[^\W_]{{1,24}})+(?![^\W_])")
_EMOJI_GAP = re.compile(f"{_EMOJI}+")
_SIGN_GAP = re.compile(_SIGN)
_ENOUGH_LETTERS = 4
_LONG_STRONG = frozenset(word for word in STRONG if len(word) >= _ENOUGH_LETTERS)


def _tokens(text: str, gap: re.Pattern[str], token: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The words with such gaps within."""
    reached = 0
    for inner in gap.finditer(text):
        start = inner.start()
        if start < reached:
            continue
        first = max(start - _MOST_LETTERS, reached)
        while start > first and text[start - 1].isalnum():
            start -= 1
        if found := token.match(text, start):
            reached = found.end()
            yield found


def join_around_emoji(text: str) -> list[Edit]:
    """The edits that take emoji out of such words. Cost: linear."""
    sure: list[re.Match[str]] = []
    possible: list[re.Match[str]] = []
    strong = False
    for token in _tokens(text, _INNER_EMOJI, _BY_EMOJI):
        pieces = _EMOJI_GAP.split(token[0])
        if all(map(_is_word, pieces)):
            continue
        word = "".join(pieces)
        if _reads(word, pieces):
            sure.append(token)
            strong = strong or word.lower() in STRONG
        else:
            possible.append(token)
    if strong or len(sure) > 1:
        sure += possible
    return sorted(
        (*gap.span(), "") for token in sure for gap in _EMOJI_GAP.finditer(text, *token.span())
    )


def join_around_signs(text: str) -> list[Edit]:
    """The edits that take signs out of strong words. Cost: linear."""
    return [
        (*gap.span(), "")
        for token in _tokens(text, _INNER_SIGN, _BY_SIGNS)
        if _SIGN_GAP.sub("", token[0]).lower() in _LONG_STRONG
        and not all(map(_is_word, _SIGN_GAP.split(token[0])))
        for gap in _SIGN_GAP.finditer(text, *token.span())
    ]


def _is_word(piece: str) -> bool:
    return len(piece) > 1 and piece.lower() in KNOWN


def _reads(word: str, pieces: list[str]) -> bool:
    """Whether the pieces make one known word, or spell something in another script."""
    if len(pieces) >= _ENOUGH_LETTERS and all(len(piece) == 1 for piece in pieces):
        is_latin = "LATIN" in unicodedata.name(word[0], "LATIN")
        return is_spelled(word) or (word.isalpha() and not is_latin)
    return len(word) > 2 and is_known(word.lower())
