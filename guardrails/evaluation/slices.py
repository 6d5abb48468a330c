"""Which part of a labelled file does a row belong to?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

COMPUTED = ("language", "length")
"""Slices that every row has; any other name is a field of the rows."""

USUAL_FIELDS = ("functionality", "target", "target_ident", "direction", "type", "source", "kind")

_LENGTHS = (50, 100, 200, 500, 2_000)
_WORD = re.compile(r"[^\W\d_]+")
# Words that are frequent in one of these languages and rare in the others.
_FREQUENT = {
    "en": "the and is of to that it you are was with this for not have be what how i",
    "de": "der die das und ist nicht ich ein eine zu mit den auf für wie sie was von im",
    "es": "el los las que una es por para con no del como su está qué lo pero y",
    "fr": "le les des est et une pour dans que pas vous je sur qui du au avec ce",
    "it": "il gli che è una per di non con sono della come questo ma nel più ho mi",
    "pt": "os um uma não com para é do da em que você como mais por ao na se",
    "nl": "het een en van niet dat is ik de voor met op zijn maar hoe wat ze naar",
    "pl": "nie się jest na że to z w i do jak co ale czy dla po jestem są",
    "tr": "bir ve bu için ne mi çok ama de ben değil var nasıl gibi daha en mı",
    "sv": "och att det är en som inte jag på med för av har till hur vad om ett",
}
_WORDS = {language: frozenset(words.split()) for language, words in _FREQUENT.items()}


def slice_of(row: Mapping[str, Any], name: str) -> str | None:
    """The row's slice by `name`, as text; None where the row has no such field."""
    if name == "language":
        return language_of(row["text"])
    if name == "length":
        return _length(len(row["text"]))
    value = row.get(name)
    return None if value is None or isinstance(value, list | dict) else str(value)


def usual_slices(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The computed slices, and those of the usual fields that these rows have."""
    fields = [f for f in USUAL_FIELDS if any(slice_of(row, f) for row in rows)]
    return (*COMPUTED, *fields)


def language_of(text: str) -> str:
    """A guess: a two-letter code for Latin script, the script's name for others, or `unknown`.

    Limits: ten languages; a text without a frequent word of one of them is unknown.
    """
    letters = [c for c in text[:2_000] if c.isalpha()]
    if not letters:
        return "unknown"
    scripts = Counter(unicodedata.name(c, "unknown").split()[0].lower() for c in letters)
    script = scripts.most_common(1)[0][0]
    if script != "latin":
        return script
    words = Counter(word.lower() for word in _WORD.findall(text[:2_000]))
    votes = {
        language: sum(count for word, count in words.items() if word in frequent)
        for language, frequent in _WORDS.items()
    }
    language = max(votes, key=votes.__getitem__)
    return language if votes[language] else "unknown"


def _length(characters: int) -> str:
    low = 0
    for border in _LENGTHS:
        if characters < border:
            return f"{low:,} to {border - 1:,} characters"
        low = border
    return f"{low:,} characters or more"
