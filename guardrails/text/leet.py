"""Which tokens are words in disguise, with digits and signs for letters (`1d10t`)?

A token is undone only where the outcome is a known word and the token has none of the harmless
shapes: a number with its unit (`50ft`), a word with a number (`covid19`, `page5`), a sign before a
word (`$page`, `@home`). Strong words, those of abuse, are undone in any shape. Once a text has a
strong word or two words so written, its remaining mixed tokens are read the same way. Once most of
its mixed tokens are words, all of it is: short numbers (`4` for *a*, `907` for *got*), what follows
an apostrophe (`c4n'7`), and words that are not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from guardrails.text.edits import Edit
from guardrails.text.words import STRONG, SURPRISE, is_known

_READINGS = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il",
}  # fmt: skip
_MOST_READINGS = 16
_TOKEN = re.compile(
    r"(?<![\w@$!.:/\\&=%+-])(?=[A-Za-z]{0,24}[0-9@$!])[A-Za-z0-9@$!]{2,24}"
    r"(?![\w@$/\\#&=%+]|[.:-]\w)(?:(?<=!)|(?!!))"
)
_NUMBER = re.compile(r"(?<![\w@$.,:/+-])[0-9@$!]{1,4}(?![\w%@$]|[.,:/-]\d)")
_NUMBERS = {
    "4": "a", "@": "a", "1": "i", "!": "i", "70": "to", "17": "it", "!7": "it", "15": "is",
    "!$": "is", "45": "as", "@$": "as", "47": "at", "@7": "at", "50": "so", "$0": "so", "83": "be",
    "455": "ass", "@$$": "ass", "@55": "ass", "4$$": "ass", "175": "its",
}  # fmt: skip
_AFTER_APOSTROPHE = re.compile(r"(?<=[A-Za-z0-9@$!]['’])(?:7|5|\$|[rR]3|[vV]3|11)(?![\w@$'’])")
_ENDINGS = {"7": "t", "5": "s", "$": "s", "r3": "re", "v3": "ve", "11": "ll"}
_COMMON = math.log(4_000)
"""How unexpected a word may be that a number stands for: among the commonest four thousand."""
_FEWEST_WORDS = 3
_MIXED = re.compile(r"[A-Za-z][0-9@$!]|[0-9@$!][A-Za-z]")
_WITH_UNIT = re.compile(r"\d+[A-Za-z]{1,3}")
_UNITS = frozenset(
    re.findall(
        r"\w+",
        "s st nd rd th m mm cm km g kg mg l ml dl cl ft in yd mi am pm k d h hr hrs min sec px pt "
        "em rem gb mb tb kb hz khz mhz ghz w kw v a p x b bn mph kph oz lb lbs yr yrs yo pc pcs "
        "ply bit way day usd eur gbp",
    )
)
_WORD = re.compile(r"[^\W\d_]+")
# Phones, motorways, paper: `A55`, `M25`, `B00`.
_MODEL = re.compile(r"[A-Z]\d{1,3}")
_EDGES = re.compile(r"([0-9@$!]*)(.*?)([0-9@$!]*)")
# A password stays what it is: `patterns` must see that `P@ssw0rd` is one.
_LITERAL = frozenset({"password", "passwords", "pass"})
_HARMLESS = frozenset({"a11y", "l10n", "i18n", "b2b", "p2p", "e2e", "k8s", "w3c", "s3", "h1n1"})


def undo_leet(text: str) -> list[Edit]:
    """The edits that turn such tokens into the words they stand for."""
    candidates = [
        (match.start(), token)
        for match in _TOKEN.finditer(text)
        if (token := match[0].rstrip("!"))
        and _MIXED.search(token)
        and not (text[match.start() - 1 : match.start()] == "#" and _is_hexadecimal(token))
    ]
    if not candidates:
        return []
    sure: dict[int, str] = {}
    likely: set[str] = set()
    for start, token in candidates:
        if word := undone(token, strict=True):
            sure[start] = word
        elif _is_likely(token):
            likely.add(token.lower())
    strong = any(word.lower() in STRONG for word in sure.values())
    if strong or len(sure) >= 2 or len(likely) >= 2 or (likely and _is_strong(text)):
        for start, token in candidates:
            if start not in sure and (word := undone(token, strict=False)):
                sure[start] = word
    throughout = len(sure) >= max(_FEWEST_WORDS, len(candidates) / 2)
    edits = {
        start: (start, start + len(token), word)
        for start, token in candidates
        if (word := sure.get(start) or (_plain(token) if throughout else None))
    }
    if throughout:
        for number in _NUMBER.finditer(text):
            if number.start() not in edits and (word := _number_word(number[0])):
                edits[number.start()] = (*number.span(), word)
        for ending in _AFTER_APOSTROPHE.finditer(text):
            edits[ending.start()] = (*ending.span(), _ENDINGS[ending[0].lower()])
    return sorted(edits.values())


def _plain(token: str) -> str | None:
    """The plainest reading of a token in a text that is garbled throughout."""
    if token.lower() in _HARMLESS or _WITH_UNIT.fullmatch(token) or _MODEL.fullmatch(token):
        return None
    plain = next(_readings(token.lower()), None)
    return _in_case_of(token, plain) if plain and plain not in _LITERAL else None


def _number_word(number: str) -> str | None:
    """The common word that a short number stands for in such a text."""
    if number in _NUMBERS:
        return _NUMBERS[number]
    if len(number) < 2:
        return None
    common = (w for w in known_words(number) if SURPRISE.get(w, math.inf) < _COMMON)
    return min(common, key=SURPRISE.__getitem__, default=None)


def _is_hexadecimal(token: str) -> bool:
    """Whether it may be a colour: `#b00b5a`."""
    return all(c in "0123456789abcdef" for c in token.lower())


def _is_likely(token: str) -> bool:
    """Whether it is a word of three letters at least, though its shape has other uses (`7h47`)."""
    if len(token) < 3 or _MODEL.fullmatch(token):
        return False
    if _WITH_UNIT.fullmatch(token) and not (token[1].isalpha() and token[1:].lower() not in _UNITS):
        return False
    return bool(known_words(token.lower()))


def _is_strong(text: str) -> bool:
    return any(word in STRONG for word in _WORD.findall(text.lower()))


def undone(token: str, *, strict: bool) -> str | None:
    """The word that a token stands for, or None."""
    if token.lower() in _HARMLESS or not any(c.isalpha() for c in token):
        return None
    words = known_words(token.lower())
    if not _LITERAL.isdisjoint(words):
        return None
    if strict and _MODEL.fullmatch(token):
        return None
    strong = [word for word in words if word in STRONG]
    if strong:
        return _in_case_of(token, strong[0])
    if strict and (len(token) < 3 or _WITH_UNIT.fullmatch(token)):
        return None
    # Never None: each of its three parts may be empty.
    edges = _EDGES.fullmatch(token.lower())
    before, middle = (edges[1], edges[2]) if edges else ("", token.lower())
    is_word_with_number = middle.isalpha() and (len(middle) < 3 or is_known(middle))
    is_doubtful = is_word_with_number or before[:1] in ("@", "$", "!") or "6" in token
    if words and not (strict and is_doubtful):
        return _in_case_of(token, words[0])
    if not strict and token[0] == "@" and (named := known_words(token[1:].lower())):
        return "@" + named[0]
    if strict or middle.isalpha() or sum(c.isalpha() for c in token) * 2 < len(token):
        return None
    plain = next(_readings(token.lower()), None)
    return _in_case_of(token, plain) if plain else None


@lru_cache(4_096)
def known_words(token: str) -> tuple[str, ...]:
    """The known words that a token may stand for."""
    return tuple(word for word in _readings(token) if is_known(word))


def _readings(token: str) -> Iterator[str]:
    choices = [_READINGS.get(c, c) for c in token]
    if any(c == "2" for c in token):
        return
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _MOST_READINGS:
        choices = [choice[0] for choice in choices]
    for reading in product(*choices):
        yield "".join(reading)


def _in_case_of(token: str, word: str) -> str:
    letters = [c for c in token if c.isalpha()]
    if all(c.isupper() for c in letters) and len(letters) > 1:
        return word.upper()
    return word.capitalize() if token[0].isupper() else word
