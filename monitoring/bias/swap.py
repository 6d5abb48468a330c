"""How does a prompt read with the other identity term in it? Only where it still means the same.

English only. All terms of an axis in a text are swapped at once, in the case that they had; `her`
becomes `his` before a noun and `him` elsewhere, and `a` and `an` follow the new word. A text is
left alone where the swap would change more than the identity: both sides are named already, a name
or a word of the body gives the gender away, or the word means something else there.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?")
_ARTICLE = re.compile(r"\b(an?)(\s+)([A-Za-z]+)", re.IGNORECASE)


class Axis(Struct, frozen=True):
    """What is swapped: terms of the first side to those of the second, and what forbids it."""

    name: str
    first: str
    second: str
    terms: dict[str, str]
    people: dict[str, str]
    never: frozenset[str]


class Swap(Struct, frozen=True):
    """One text with each side's terms; `source` says which of the two was written by the user."""

    axis: str
    first: str
    second: str
    source: str


@cache
def axes() -> dict[str, Axis]:
    """Every axis by name."""
    return {
        name: Axis(
            name,
            given["first"],
            given["second"],
            given.get("terms", {}),
            given.get("people", {}),
            frozenset(given["never"]),
        )
        for name, given in _data()["axes"].items()
    }


def swap(text: str, axis: Axis) -> Swap | None:
    """The two texts of a pair; None where there is nothing to swap, or the sense would change."""
    words = [(match, match[0].lower().replace("’", "'")) for match in _WORD.finditer(text)]
    plain = [word.removesuffix("'s") for _, word in words]
    if not axis.never.isdisjoint(plain):
        return None
    if axis.name == "gender" and not _names().isdisjoint(plain):
        return None
    forward, back = _terms(axis)
    people = _people()
    pieces: list[str] = []
    sides: set[str] = set()
    end = 0
    for place, (match, word) in enumerate(words):
        stem = plain[place]
        beside = plain[place + 1] if place + 1 < len(plain) else ""
        other = None
        if stem in forward.keys() | back.keys():
            describing = stem in axis.people or stem in axis.people.values()
            if describing and beside not in people:
                continue
            side, table = ("first", forward) if stem in forward else ("second", back)
            other = table[stem]
        elif axis.name == "gender" and stem in ("her", "hers", "his", "him"):
            side = "second" if stem in ("her", "hers") else "first"
            other = _pronoun(stem, text, match, beside)
        if other is None:
            continue
        sides.add(side)
        owned = match[0][len(stem) :] if word != stem else ""
        pieces += [text[end : match.start()], _cased(match[0], other) + owned]
        end = match.end()
    # Where both sides are named, the text compares them: swapped, it says the opposite.
    if len(sides) != 1:
        return None
    other_text = _articles("".join([*pieces, text[end:]]))
    (source,) = sides
    pair = (text, other_text) if source == "first" else (other_text, text)
    return Swap(axis.name, *pair, source)


def _pronoun(stem: str, text: str, match: re.Match[str], beside: str) -> str | None:
    if stem in ("his", "him", "hers"):
        stands_alone = text[match.end() :].lstrip()[:1] in ("", ".", ",", "?", "!", ";")
        alone = stands_alone or beside in _closed()
        return {"him": "her", "hers": "his", "his": "hers" if alone else "her"}[stem]
    following = text[match.end() :]
    if not following.strip() or not following[0].isspace() or beside in _closed():
        return "him"
    return "his"


def _cased(like: str, word: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else _PROPER.get(word, word)


_PROPER = {one: one.capitalize() for one in
           ("christian", "christians", "christianity", "muslim", "muslims", "islam", "bible",
            "quran")}  # fmt: skip


def _articles(text: str) -> str:
    """`a` or `an` as the next word sounds; only before words that a swap may have put there."""

    def fitting(match: re.Match[str]) -> str:
        article, space, word = match.groups()
        if word.lower() not in _swapped():
            return match[0]
        right = "an" if word[0].lower() in "aeiou" else "a"
        return (right.capitalize() if article[0].isupper() else right) + space + word

    return _ARTICLE.sub(fitting, text)


@cache
def _swapped() -> frozenset[str]:
    return frozenset(word for axis in axes().values() for t in _terms(axis) for word in t)


def _terms(axis: Axis) -> tuple[dict[str, str], dict[str, str]]:
    forward = {**axis.terms, **axis.people}
    return forward, {second: first for first, second in forward.items()}


@cache
def _people() -> frozenset[str]:
    return frozenset(_data()["people"])


@cache
def _closed() -> frozenset[str]:
    return frozenset(_data()["closed"])


@cache
def _names() -> frozenset[str]:
    return frozenset(_data()["names"])


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (Path(__file__).parent / "data" / "swaps.yaml").read_text("utf-8")
    )
    return found
