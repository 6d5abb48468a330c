"""Which words does the normaliser know, so that it can tell `1d10t` from `covid19`?"""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).parent / "data"


def _read(name: str) -> frozenset[str]:
    lines = (_DATA / name).read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


STRONG = _read("strong.txt")
"""Words of abuse, threat and injection, the usual aim of garbling."""

KNOWN = _read("words.txt") | STRONG
"""About nine thousand common English words, and the strong ones of any language."""

LONGEST = max(map(len, KNOWN))


def is_known(word: str) -> bool:
    """Whether a lower-case word, or what it inflects, is among the known ones."""
    if word in KNOWN:
        return True
    for ending in ("s", "ed", "er", "ing", "y", "in"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= (3 if ending == "ing" else 4) and stem in KNOWN:
            return True
    return False
