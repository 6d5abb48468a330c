"""Which words are spelled letter by letter (`i d i o t`, `y.o.u a.r.e`)?

Letters apart are joined where they make known words. Where gaps differ, the wider ones stand
between words; where they do not, the likeliest words are found by how frequent each is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrails.text.edits import Edit
from guardrails.text.leet import undone
from guardrails.text.words import (
    BEGINNING_LETTERS,
    BEGINNINGS,
    KNOWN,
    STRONG,
    SURPRISE,
    is_known,
)

_GAP = r"[ .\-_*~|/,·•'’\";:?()#&+=]{1,3}"
HINT = rf"(?:^|[^\pL\pN])[\pL\pN@$!](?:{_GAP}[\pL\pN@$!]){{2}}(?:[^\pL\pN]|$)"
"""A regex of RE2 without which no word is spelled."""

_SINGLE = r"(?:[^\W_]|[@$!])"
_SPELLED = re.compile(rf"(?<![^\W_]){_SINGLE}(?:{_GAP}{_SINGLE}){{2,}}(?![^\W_])")
_PIECE = re.compile(rf"({_SINGLE})({_GAP})?")
_LONGEST_GROUP = 400
_SHORTEST_PHRASE = 5
_KNOWN_SHARE = 0.6
_KNOWN_SHARE_WITH_STRONG = 0.35
_SURE_SHARE = 0.5
_LONGEST_WORD = 16
_NEVER = float("inf")
# What a piece that is no known word costs: to begin it, and for each of its letters.
_STRANGE_WORD = 9.0
_STRANGE_LETTER = 3.0
_PART = re.compile(r"[^\W\d_]+|\d+|[@$!]+")


def join_spelled(text: str) -> list[Edit]:
    """The edits that join words written letter by letter, where the letters make known words.

    Cost: linear.
    """
    edits: list[Edit] = []
    for run in _SPELLED.finditer(text):
        pieces = _pieces(run)
        if sum(letter.isalpha() for _, letter, _ in pieces) < 2:
            continue
        groups = list(_groups(pieces))
        letters = ["".join(letter for _, letter, _ in group) for group in groups]
        joined = [_joined(word) for word in letters]
        # Among several spelled words the short ones are as sure as the long.
        known = sum(len(group) for group, word in zip(groups, joined, strict=True) if word)
        is_sure = len(groups) > 1 and known >= max(5, _SURE_SHARE * len(pieces))
        if is_sure:
            # The gaps say where words end, also those that are not known: names, and other forms.
            joined = [
                word or (plain if plain.isalpha() else None)
                for word, plain in zip(joined, letters, strict=True)
            ]
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
    lower = letters.lower()
    if lower in KNOWN:
        return letters
    if len(letters) < 3 or not any(c.isalpha() for c in letters):
        return None
    if letters.isalpha():
        return letters if is_known(lower) else _segmented(letters)
    trimmed = letters.rstrip("!")
    if trimmed.isalpha():
        word = _joined(trimmed)
    else:
        word = undone(trimmed, strict=True) or _around_numbers(trimmed)
    return word + letters[len(trimmed) :] if word else None


def _around_numbers(letters: str) -> str | None:
    """Letters with numbers or signs between them: each part by itself."""
    parts = [part for part in _PART.findall(letters) if part]
    joined = [_joined(part) if part.isalpha() else None for part in parts]
    known = sum(len(part) for part, word in zip(parts, joined, strict=True) if word)
    if known < max(_SHORTEST_PHRASE, _KNOWN_SHARE * len(letters)):
        return None
    said = " ".join(word or part for part, word in zip(parts, joined, strict=True))
    return re.sub(r"([@$]) ", r"\1", said)


def _segmented(letters: str) -> str | None:
    """The likeliest words that the letters are, where most of the letters are in known words."""
    if len(letters) < _SHORTEST_PHRASE:
        return None
    words, reached = [], 0
    known = 0
    for length in _lengths(letters.lower()):
        word = letters[reached : reached + length]
        words.append(word)
        reached += length
        known += len(word) * (len(word) > 2 and word.lower() in KNOWN)
    is_strong = any(len(word) > 3 and word.lower() in STRONG for word in words)
    share = _KNOWN_SHARE_WITH_STRONG if is_strong else _known_share(len(letters))
    return " ".join(words) if known >= share * len(letters) else None


def _known_share(letters: int) -> float:
    """How much of a row must be known words: what one row in a hundred of random letters reaches
    has fallen to 0.5 at twelve letters, and to 0.35 at twenty.
    """
    return _KNOWN_SHARE if letters < 12 else 0.5 if letters < 20 else 0.38


def _lengths(letters: str) -> list[int]:
    """The lengths of the pieces: the least surprising words, and what lies between them."""
    size = len(letters)
    # For each place: the least surprise so far, and where the last piece began; the same where that
    # piece is no known word.
    best = [_NEVER] * (size + 1)
    begins = [0] * (size + 1)
    strange = [_NEVER] * (size + 1)
    strange_begins = [0] * (size + 1)
    best[0] = 0.0
    for start in range(size):
        here = best[start]
        # A piece that is no known word begins here, or goes on.
        fresh, further = here + _STRANGE_WORD, strange[start]
        at = start + 1
        if further < fresh:
            strange[at], strange_begins[at] = further + _STRANGE_LETTER, strange_begins[start]
        else:
            strange[at], strange_begins[at] = fresh + _STRANGE_LETTER, start
        if strange[at] < best[at]:
            best[at], begins[at] = strange[at], strange_begins[at]
        for end in range(at, min(start + _LONGEST_WORD, size) + 1):
            piece = letters[start:end]
            surprise = SURPRISE.get(piece)
            if surprise is not None:
                if here + surprise < best[end]:
                    best[end], begins[end] = here + surprise, start
            elif end - start <= BEGINNING_LETTERS and piece not in BEGINNINGS:
                break
    lengths: list[int] = []
    end = size
    while end:
        lengths.append(end - begins[end])
        end = begins[end]
    return lengths[::-1]
