"""How are texts of any length put to a detector that reads windows, and the answers put together?

A row is all that was detected in one text, with at least one detection of every label.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from guardrails.text.windows import windows
from guardrails.types import Detection

MOST_PIECES = 4_096
_MOST_OVERLAP_CHARACTERS = 200

Row = list[Detection]


class Unusable(ValueError):
    """What was asked or answered cannot be used; the message holds nothing of it."""


class Pieces:
    """Texts as windows of at most `window_characters`; `texts` are the windows, all in one list.

    A blank text has no window: there is nothing to ask about it.
    Errors: Unusable for more than MOST_PIECES windows.
    """

    def __init__(self, texts: Sequence[str], window_characters: int) -> None:
        overlap = min(window_characters // 8, _MOST_OVERLAP_CHARACTERS)
        self._spans = [
            windows(text, window_characters, overlap) if text.strip() else [] for text in texts
        ]
        if sum(map(len, self._spans)) > MOST_PIECES:
            raise Unusable(f"cannot read more than {MOST_PIECES} windows of text at once")
        self.texts = [
            text[start:end]
            for text, spans in zip(texts, self._spans, strict=True)
            for start, end in spans
        ]

    def merge(self, rows: Sequence[Row], labels: Sequence[str]) -> list[Row]:
        """The rows of the texts, from those of the windows.

        A score without a place is that of its window: of several windows the highest counts, and
        the window is its place. Nothing was found in a blank text.
        """
        if len(rows) != len(self.texts):
            raise Unusable(f"answered {len(rows)} rows for {len(self.texts)} texts")
        left = iter(rows)
        merged = []
        for spans in self._spans:
            if not spans:
                merged.append([Detection(label, 0.0) for label in labels])
            elif len(spans) == 1:
                merged.append(next(left))
            else:
                merged.append(_joined([(span, next(left)) for span in spans]))
        return merged


def _joined(parts: Sequence[tuple[tuple[int, int], Row]]) -> Row:
    best: dict[str, Detection] = {}
    found: dict[tuple[str, int, int], Detection] = {}
    for (start, end), row in parts:
        for hit in row:
            if hit.start is None or hit.end is None:
                held = best.get(hit.label)
                if held is None or hit.score > held.score:
                    best[hit.label] = msgspec.structs.replace(hit, start=start, end=end)
            else:
                moved = msgspec.structs.replace(hit, start=start + hit.start, end=start + hit.end)
                key = (hit.label, start + hit.start, start + hit.end)
                if key not in found or hit.score > found[key].score:
                    found[key] = moved
    return [*best.values(), *found.values()]
