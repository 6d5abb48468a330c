"""Which tokens are words in disguise: with digits and signs (`1d10t`), or spelled (`i d i o t`)?

A token is undone only where the outcome is a known word and the token has none of the harmless
shapes: a number with its unit (`50ft`), a word with a number (`covid19`, `page5`), a sign before a
word (`$page`, `@home`). Strong words, those of abuse, are undone in any shape. Once a text has a
strong word or two words so written, its remaining mixed tokens are read the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from guardrails.text.edits import Edit
from guardrails.text.words import KNOWN, LONGEST, STRONG, is_known

_READINGS = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il",
}  # fmt: skip
_MOST_READINGS = 16
_TOKEN = re.compile(
    r"(?<![\w@$!.:/\\#&=%+-])(?=[A-Za-z]{0,24}[0-9@$!])[A-Za-z0-9@$!]{2,24}"
    r"(?![\w@$:/\\#&=%+]|[.-]\w)(?:(?<=!)|(?!!))"
)
_MIXED = re.compile(r"[A-Za-z][0-9@$!]|[0-9@$!][A-Za-z]")
_WITH_UNIT = re.compile(r"\d+[A-Za-z]{1,3}")
_EDGES = re.compile(r"([0-9@$!]*)(.*?)([0-9@$!]*)")
# A password stays what it is: `patterns` must see that `P@ssw0rd` is one.
_LITERAL = frozenset({"password", "passwords", "pass"})
_HARMLESS = frozenset({"a11y", "l10n", "i18n", "b2b", "p2p", "e2e", "k8s", "w3c", "s3", "h1n1"})


def undo_leet(text: str) -> list[Edit]:
    """The edits that turn such tokens into the words they stand for."""
    candidates = [
        (match.start(), token)
        for match in _TOKEN.finditer(text)
        if (token := match[0].rstrip("!")) and _MIXED.search(token)
    ]
    if not candidates:
        return []
    sure = {start: word for start, token in candidates if (word := _undone(token, strict=True))}
    if len(sure) >= 2 or any(word.lower() in STRONG for word in sure.values()):
        for start, token in candidates:
            if start not in sure and (word := _undone(token, strict=False)):
                sure[start] = word
    return [
        (start, start + len(token), sure[start]) for start, token in candidates if start in sure
    ]


def _undone(token: str, *, strict: bool) -> str | None:
    """The word that a token stands for, or None."""
    if token.lower() in _HARMLESS or not any(c.isalpha() for c in token):
        return None
    words = [word for word in _readings(token.lower()) if is_known(word)]
    if not _LITERAL.isdisjoint(words):
        return None
    strong = [word for word in words if word in STRONG]
    if strong:
        return _in_case_of(token, strong[0])
    if strict and (len(token) < 3 or _WITH_UNIT.fullmatch(token)):
        return None
    before, middle, _after = _EDGES.fullmatch(token.lower()).groups()
    is_word_with_number = middle.isalpha() and (len(middle) < 3 or is_known(middle))
    is_doubtful = is_word_with_number or before[:1] in ("@", "$", "!") or "6" in token
    if words and not (strict and is_doubtful):
        return _in_case_of(token, words[0])
    if strict or middle.isalpha() or sum(c.isalpha() for c in token) * 2 < len(token):
        return None
    plain = next(_readings(token.lower()), None)
    return _in_case_of(token, plain) if plain else None


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


_SINGLE = r"(?:[^\W_]|[@$!])"
_GAP = r"[ .\-_*~|/,·•]{1,3}"
_SPELLED = re.compile(rf"(?<![^\W_]){_SINGLE}(?:{_GAP}{_SINGLE}){{2,}}(?![^\W_])")
_PIECE = re.compile(rf"({_SINGLE})({_GAP})?")
_LONGEST_GROUP = 400
_SHORTEST_PHRASE = 5
_KNOWN_SHARE = 0.6


def join_spelled(text: str) -> list[Edit]:
    """The edits that join words written letter by letter, where the letters make known words."""
    edits: list[Edit] = []
    for run in _SPELLED.finditer(text):
        pieces = _pieces(run)
        if sum(letter.isalpha() for _, letter, _ in pieces) < 2:
            continue
        groups = list(_groups(pieces))
        joined = [_joined("".join(letter for _, letter, _ in group)) for group in groups]
        # Among several spelled words the short ones are as sure as the long.
        known = sum(len(group) for group, word in zip(groups, joined, strict=True) if word)
        is_sure = len(groups) > 1 and known >= max(5, 0.6 * len(pieces))
        edits += [
            (group[0][0], group[-1][0] + 1, word)
            for group, word in zip(groups, joined, strict=True)
            if word and len(group) > 1 and (is_sure or len(group) > 3 or word.lower() in STRONG)
        ]
    return edits


_Piece = tuple[int, str, int]
"""A letter, where it stands, and how wide the gap behind it is."""


def _pieces(run: re.Match[str]) -> list[_Piece]:
    found = list(_PIECE.finditer(run[0]))
    gaps = [piece[2] or "" for piece in found]
    bare = sum(bool(gap) and not any(map(str.isspace, gap)) for gap in gaps)
    # Where signs stand between letters, a blank is the wider gap: `y.o.u a.r.e`.
    is_signed = 2 * bare >= len(gaps) - 1
    return [
        (run.start() + piece.start(1), piece[1], _width(gap, is_signed))
        for piece, gap in zip(found, gaps, strict=True)
    ]


def _width(gap: str, is_signed: bool) -> int:
    if not gap.isspace():
        # A sign with blanks around it is punctuation between words.
        return len(gap) + (9 if any(map(str.isspace, gap)) else 0)
    return len(gap) + (4 if is_signed else 0)


def _groups(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    """The pieces of each word: where gaps differ, the wider ones stand between words."""
    narrow = min(gap for _, _, gap in pieces[:-1])
    group: list[_Piece] = []
    for piece in pieces:
        group.append(piece)
        if piece[2] > narrow or len(group) == _LONGEST_GROUP:
            yield group
            group = []
    if group:
        yield group


def is_spelled(letters: str) -> bool:
    """Whether letters in a row make a known word, or several."""
    return _joined(letters) is not None


def _joined(letters: str) -> str | None:
    """The words that the letters make, or None where they make none."""
    if letters.lower() in KNOWN:
        return letters
    if len(letters) < 3 or not any(c.isalpha() for c in letters):
        return None
    if not letters.isalpha():
        trimmed = letters.rstrip("!")
        word = _joined(trimmed) if trimmed.isalpha() else _undone(trimmed, strict=True)
        return word + letters[len(trimmed) :] if word else None
    lower = letters.lower()
    if is_known(lower):
        return letters
    if len(lower) < _SHORTEST_PHRASE:
        return None
    words, reached = [], 0
    for length in _segmented(lower):
        words.append(letters[reached : reached + length])
        reached += length
    known = sum(len(word) for word in words if len(word) > 2 and word.lower() in KNOWN)
    return " ".join(words) if known >= _KNOWN_SHARE * len(letters) else None


def _segmented(letters: str) -> list[int]:
    """The lengths of the pieces: as few known words as can be, and what lies between them."""
    # For each end: the least cost so far, the length of the last piece, and whether it is unknown.
    best: list[tuple[float, int, bool]] = [(0, 0, False)]
    for end in range(1, len(letters) + 1):
        cost, length, extends = best[end - 1]
        choice = (cost + 1.5, length + 1 if extends else 1, True)
        for length in range(1, min(LONGEST, end) + 1):
            cost = best[end - length][0] + 1
            if cost < choice[0] and letters[end - length : end] in KNOWN:
                choice = (cost, length, False)
        best.append(choice)
    lengths: list[int] = []
    end = len(letters)
    while end:
        lengths.append(best[end][1])
        end -= lengths[-1]
    return lengths[::-1]
