"""How is a long text cut into windows that a detector can read?"""

from __future__ import annotations

import re

_SPACE = re.compile(r"\s")


def windows(text: str, size: int, overlap: int) -> list[tuple[int, int]]:
    """Spans of at most `size` characters that cover every character of `text`.

    Neighbours share about `overlap` characters. A cut falls behind white space where there is some
    in the last third of the window, else between any two characters. An empty text has no windows.
    Limits: 0 <= overlap <= size / 2.
    Errors: ValueError for other sizes.
    Cost:   linear in the text.
    """
    if size < 1 or not 0 <= overlap <= size / 2:
        raise ValueError("windows needs size >= 1 and 0 <= overlap <= size / 2")
    spans = []
    start = 0
    while len(text) - start > size:
        end = _cut(text, start + size - size // 3, start + size)
        spans.append((start, end))
        # The next one begins at a word too; it always moves on, as overlap < size - size // 3.
        back = end - overlap
        start = min(_cut_forward(text, back, back + overlap // 2), end) if overlap else end
        start = max(start, spans[-1][0] + 1)
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def _cut(text: str, low: int, high: int) -> int:
    for position in range(high, low, -1):
        if text[position - 1].isspace():
            return position
    return high


def _cut_forward(text: str, low: int, high: int) -> int:
    found = _SPACE.search(text, low, high)
    return found.end() if found else low
