"""Which rows teach that one abusive sentence in a long calm text is abuse all the same?"""

from __future__ import annotations

import random
from collections.abc import Sequence

from guardrails.training.dataset import LABELS, Row

LONGEST_ABUSE = 140
_PIECE_CHARACTERS = 420
_HARMLESS = dict.fromkeys(LABELS, 0)


def buried(abuse: Sequence[Row], calm: Sequence[Row], seed: int, count: int) -> list[Row]:
    """Short abusive rows put between sentences of harmless texts, and pieces of the latter alone.

    A label of the abuse that is 1 stays; one that is unknown stays so. Half as many pieces without
    abuse come too, cut in the same way.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    short = [r for r in abuse if r.labels.get("toxicity") and len(r.text) <= LONGEST_ABUSE]
    long = [r.text for r in calm if len(r.text) >= 160]
    rows = []
    for number in range(count if short and long else 0):
        piece = _piece(rng.choice(long), rng)
        if number % 3 == 2:
            rows.append(Row(piece, "own_calm", _HARMLESS))
            continue
        chosen = rng.choice(short)
        places = [0, len(piece), *(at + 2 for at in _sentence_ends(piece))]
        at = rng.choice(places)
        text = f"{piece[:at].rstrip()} {chosen.text.strip()} {piece[at:]}".strip()
        rows.append(Row(text, "own_buried", {**chosen.labels, "prompt_injection": 0}))
    return rows


def _piece(text: str, rng: random.Random) -> str:
    length = rng.randrange(120, _PIECE_CHARACTERS - LONGEST_ABUSE)
    start = rng.randrange(max(1, len(text) - length))
    return text[start : start + length]


def _sentence_ends(text: str) -> list[int]:
    return [at for at, sign in enumerate(text[:-2]) if sign in ".?!" and text[at + 1] == " "]
