"""Which words does the normaliser know, so that it can tell `1d10t` from `covid19`?"""

from __future__ import annotations

import math
from pathlib import Path

_DATA = Path(__file__).parent / "data"


def _read(name: str) -> list[str]:
    lines = (_DATA / name).read_text("utf-8").splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


_BY_FREQUENCY = _read("words.txt")

STRONG = frozenset(_read("strong.txt"))
"""Words of abuse, threat and injection, the usual aim of garbling."""

KNOWN = frozenset(_BY_FREQUENCY) | STRONG
"""About sixteen thousand common English words, and the strong ones of any language."""

LONGEST = max(map(len, KNOWN))

_STRONG_RANK = 1_000

SURPRISE = dict.fromkeys(STRONG, math.log(_STRONG_RANK)) | {
    # Zipf's law: the frequency of a word is about one over its rank.
    word: math.log(rank + 9)
    for rank, word in enumerate(_BY_FREQUENCY, 1)
    if word not in STRONG or rank < _STRONG_RANK
}
"""How unexpected each known word is: about the negative logarithm of its frequency."""

BEGINNING_LETTERS = 5
BEGINNINGS = frozenset(word[:size] for word in KNOWN for size in range(1, BEGINNING_LETTERS + 1))
"""The first letters, up to five, of all known words."""


def is_known(word: str) -> bool:
    """Whether a lower-case word, or what it inflects, is among the known ones."""
    if word in KNOWN:
        return True
    for ending in ("s", "ed", "er", "ing", "y", "in"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= (3 if ending == "ing" else 4) and stem in KNOWN:
            return True
    return False
