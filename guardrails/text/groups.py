"""Which groups of people does a text name, whatever it says of them?

So that block rates can be compared between groups. A list of words, in `data/groups.yaml`: what
counts is that a text is about Muslims, women or the blind, not whether it is kind.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from guardrails.text.spoken_words import spoken_words

READ_CHARACTERS = 4_000
MOST_GROUPS = 12

_PARTS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "data" / "groups.yaml").read_text("utf-8")
)
GROUPS: tuple[str, ...] = tuple(_PARTS["groups"])
"""Every group that can be named, as `religion:muslims`: the axis and the group."""

_PEOPLE = frozenset(_PARTS["people"].split())
_WORDS: dict[str, str] = {}
_DESCRIBING: dict[str, str] = {}
_PAIRS: dict[tuple[str, str], str] = {}
_STEMS: dict[str, str] = {}
_UNSPACED: dict[str, str] = {}
for _group, _named in _PARTS["groups"].items():
    _WORDS |= dict.fromkeys(_named.get("words", "").split(), _group)
    _DESCRIBING |= dict.fromkeys(_named.get("describing", "").split(), _group)
    _PAIRS |= {tuple(pair.split()): _group for pair in _named.get("pairs", ())}
    _STEMS |= dict.fromkeys(_named.get("stems", "").split(), _group)
    _UNSPACED |= dict.fromkeys(_named.get("unspaced", "").split(), _group)
_NAMING = frozenset((*_WORDS, *_DESCRIBING, *(second for _, second in _PAIRS)))
_STEM_LENGTHS = tuple(sorted({len(stem) for stem in _STEMS}))
_ANY_UNSPACED = re.compile("|".join(sorted(map(re.escape, _UNSPACED), key=len, reverse=True)))


def groups_in(text: str) -> tuple[str, ...]:
    """The groups that a text names, in the order of the list; at most MOST_GROUPS.

    A word as `Muslims` names by itself; one as `black` or `German` only beside a word for people,
    since most things that are black or German are no people.
    Cost: 5 µs for 60 words of ASCII that name nobody, 2 where the words are known already, 20 for
    other texts. Limits: the first READ_CHARACTERS; a list sees no allusion; English is covered
    best, then German, French, Spanish, Italian and Portuguese.
    """
    text = text[:READ_CHARACTERS]
    tokens = spoken_words(text)
    if text.isascii() and _NAMING.isdisjoint(tokens):
        return ()
    found: set[str] = set()
    before = ""
    for at, token in enumerate(tokens):
        if token in _WORDS:
            found.add(_WORDS[token])
        elif (before, token) in _PAIRS:
            found.add(_PAIRS[before, token])
        elif token in _DESCRIBING:
            after = tokens[at + 1] if at + 1 < len(tokens) else ""
            if before in _PEOPLE or after in _PEOPLE:
                found.add(_DESCRIBING[token])
        elif not token.isascii():
            found.update(_STEMS[token[:n]] for n in _STEM_LENGTHS if token[:n] in _STEMS)
        before = token
    if not text.isascii():
        found.update(_UNSPACED[match] for match in _ANY_UNSPACED.findall(text))
    return tuple(group for group in GROUPS if group in found)[:MOST_GROUPS]
