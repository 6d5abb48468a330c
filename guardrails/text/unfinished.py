"""From where on may the end of a text still turn out to be something in disguise?

A disguise is undone once all of it is there: letters that stand apart are one word when the last
one has come, and a run of code is a text when it can be decoded. Until then it is not let go.
"""

from __future__ import annotations

import re

_SPELLED = re.compile(r"(?:(?<!\w)\w[^\w\n]{1,3}){2,}\w?\w?\Z")
_CODE = re.compile(r"[A-Za-z0-9+/=_-]{16,}\Z")
_WORD = re.compile(r"\S*[^\x00-\x7f]\S*\Z")
MOST_CHARACTERS = 2_048


def unfinished_from(text: str) -> int:
    """Where it begins; the text's length where the end is nothing but words.

    Limits: it looks back MOST_CHARACTERS; a run of code that is longer is let go piece by piece.
    """
    tail = text[-MOST_CHARACTERS:]
    disguises = (_SPELLED, _CODE) if tail.isascii() else (_SPELLED, _CODE, _WORD)
    starts = (m.start() for p in disguises if (m := p.search(tail)) is not None)
    return len(text) - len(tail) + min(starts, default=len(tail))
