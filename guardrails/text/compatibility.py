"""Which characters have a plainer form of the same meaning (Unicode NFKC)?

Everything as NFKC says, except where ordinary writing would suffer: full-width punctuation beside
CJK text, and the vowel AM of Thai and Lao and the Armenian ligature EW, stay. Piles of combining
marks, and strokes through Latin letters, are removed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from guardrails.text.edits import Edit

# Vowel signs and jamo that compose with the character before them although their class is 0.
COMPOSING = frozenset(
    "\u09be\u09d7\u0b3e\u0b56\u0b57\u0bbe\u0bd7\u0cc2\u0cd5\u0cd6\u0d3e\u0d57\u0dcf\u0ddf\u102e"
    "\u1b35\U00011127\U0001133e\U00011357\U000114b0\U000114ba\U000114bd\U000115af\U00011930"
) | {chr(code) for start, end in ((0x1161, 0x1176), (0x11A8, 0x11C3)) for code in range(start, end)}
_KEPT = frozenset("\u0e33\u0eb3\u0587")
# The full-width signs that ordinary CJK writing uses; not those of code and markup.
_WIDE = re.compile("[！（），．：；？～｡｢｣､･]+")
_CJK = re.compile("[\u2e80-\u312f\u3190-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]")
_STROKE = "[\u0334-\u0338\u20d0-\u20f0]"
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]"
PILED_HINT = f"[A-Za-z]{_STROKE}|{_MARK}{{3}}"
"""A regex, of RE2 too, without which `without_piles` finds nothing."""

_PILE = re.compile(f"(?<=[A-Za-z]){_STROKE}+|{_MARK}{{3,}}")


@lru_cache(16_384)
def _continues(character: str) -> bool:
    """Whether it may combine with what stands before it."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.combining(first) != 0 or first in COMPOSING


@lru_cache(16_384)
def _is_touched(character: str) -> bool:
    if character in _KEPT:
        return False
    return unicodedata.normalize("NFKC", character) != character or _continues(character)


def to_plain_forms(text: str) -> list[Edit]:
    """The edits of NFKC, each as small as the characters that belong together."""
    if unicodedata.is_normalized("NFKC", text):
        return []
    touched = {character for character in set(text) if _is_touched(character)}
    if not touched:
        return []
    kept = _wide_beside_cjk(text) if any(map(_WIDE.match, touched)) else frozenset()
    edits: list[Edit] = []
    reached = 0
    size = len(text)
    while reached < size:
        # A segment is one character and all that may combine with it.
        segment = reached
        reached += 1
        character = text[segment]
        while reached < size and text[reached] in touched and _continues(text[reached]):
            reached += 1
        if character not in touched and reached == segment + 1:
            continue
        if reached == segment + 1 and segment in kept:
            continue
        old = text[segment:reached]
        new = unicodedata.normalize("NFKC", old)
        if new != old:
            edits.append((segment, reached, new))
    return edits


def _wide_beside_cjk(text: str) -> frozenset[int]:
    return frozenset(
        position
        for run in _WIDE.finditer(text)
        if any(
            map(_CJK.match, (text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]))
        )
        for position in range(*run.span())
    )


def without_piles(text: str) -> list[Edit]:
    """The edits that remove piled marks and strokes."""
    return [(*match.span(), "") for match in _PILE.finditer(text)]
