"""Which words of a text are English once each letter is moved by thirteen places (rot13)?"""

from __future__ import annotations

import codecs
import re

from guardrails.text.words import KNOWN, STRONG

_FREQUENT = (
    "the and you that this with for are your have not all what from who how will can was his him "
    "get out now but they them their about would there when make like just know take into some "
    "could then than only come over think also back after first even want because these "
    "give most tell write code system prompt please instructions"
)


def _rotated(text: str) -> str:
    return codecs.encode(text, "rot13")


_MARKS = sorted(
    rotated
    for word in {*_FREQUENT.split(), *(word for word in STRONG if len(word) > 3)}
    if word.isascii() and word.isalpha() and (rotated := _rotated(word)) not in KNOWN
)
HINT = rf"(?i)\b(?:{'|'.join(_MARKS)})\b"
"""A regex, of RE2 too, for the frequent and the strong words in rot13."""

_WORD = re.compile(r"[A-Za-z]+")
_FEWEST_LETTERS = 8
_FEWEST_WORDS = 2


def readings(text: str) -> list[tuple[int, int, str]]:
    """Where runs of such words stand, and what they say.

    Limits: two words and eight letters; a word that is English either way counts for neither.
    Cost:   linear, a look-up or two a word.
    """
    found: list[tuple[int, int, str]] = []
    # The run so far: its weight, its words, where it began; and where its weight was highest.
    weight = words = start = 0
    best = best_words = best_end = 0
    for match in _WORD.finditer(text):
        gain = _gain(match[0].lower())
        if weight <= 0:
            if gain <= 0:
                continue
            weight, words, start, best = 0, 0, match.start(), 0
        weight += gain
        words += gain > 0
        if weight > best:
            best, best_words, best_end = weight, words, match.end()
        if weight <= 0:
            _add(found, text, start, best_end, best, best_words)
            best = 0
    _add(found, text, start, best_end, best, best_words)
    return found


def _gain(word: str) -> int:
    """How much a word speaks for rot13: its letters, against it: the same, or half of unknown."""
    is_word, is_rotated = word in KNOWN, _rotated(word) in KNOWN
    if is_word == is_rotated:
        return 0 if is_word or len(word) < 3 else -(len(word) // 2)
    return len(word) if is_rotated else -len(word)


def _add(
    found: list[tuple[int, int, str]], text: str, start: int, end: int, weight: int, words: int
) -> None:
    if weight >= _FEWEST_LETTERS and words >= _FEWEST_WORDS:
        found.append((start, end, _rotated(text[start:end])))
