"""How are texts of any length put to a detector that reads windows, and the answers put together?

A row is all that was detected in one text, with at least one detection of every label.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from guardrails.text.windows import windows
from guardrails.types import Detection

MOST_PIECES = 4_096
_MOST_OVERLAP_CHARACTERS = 200
_WINDOWS_AT_ONCE = 32
_HELD_SECONDS = 0.004

Row = list[Detection]
Span = tuple[int, int]


class Unusable(ValueError):
    """What was asked or answered cannot be used; the message holds nothing of it."""


class Breath:
    """Lets the event loop go on where it has been held for some milliseconds."""

    def __init__(self) -> None:
        self._held_since = time.perf_counter()

    async def take(self) -> None:
        """To be awaited between two short pieces of work."""
        if time.perf_counter() - self._held_since > _HELD_SECONDS:
            await asyncio.sleep(0)
            self._held_since = time.perf_counter()


class Pieces:
    """Texts as windows; `texts` are the windows, all in one list. A blank text has none."""

    def __init__(self, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> None:
        self._spans = spans
        self.texts = [
            text[start:end] for text, own in zip(texts, spans, strict=True) for start, end in own
        ]

    async def merge(self, rows: Sequence[Row], labels: Sequence[str]) -> list[Row]:
        """The rows of the texts, from those of the windows.

        A score without a place is that of its window: of several windows the highest counts, and
        the window is its place. Nothing was found in a blank text.
        """
        if len(rows) != len(self.texts):
            raise Unusable(f"answered {len(rows)} rows for {len(self.texts)} texts")
        left = iter(rows)
        breath = Breath()
        merged = []
        for spans in self._spans:
            await breath.take()
            if not spans:
                merged.append([Detection(label, 0.0) for label in labels])
            elif len(spans) == 1:
                merged.append(next(left))
            else:
                merged.append(await _joined([(span, next(left)) for span in spans], breath))
        return merged


async def cut(texts: Sequence[str], window_characters: int) -> Pieces:
    """Texts as overlapping windows of at most `window_characters`.

    Errors: Unusable for more than MOST_PIECES windows.
    """
    most_characters = MOST_PIECES * window_characters
    if sum(map(len, texts)) > most_characters:
        raise Unusable(f"cannot read more than {most_characters} characters at once")
    breath = Breath()
    spans = [await _cut(text, window_characters, breath) if text.strip() else [] for text in texts]
    if sum(map(len, spans)) > MOST_PIECES:
        raise Unusable(f"cannot read more than {MOST_PIECES} windows of text at once")
    return Pieces(texts, spans)


async def _cut(text: str, size: int, breath: Breath) -> list[Span]:
    """The windows of one text, cut some at a time."""
    overlap = min(size // 8, _MOST_OVERLAP_CHARACTERS)
    spans: list[Span] = []
    start = 0
    while True:
        await breath.take()
        part = text[start : start + size * _WINDOWS_AT_ONCE]
        found = windows(part, size, overlap)
        last = start + len(part) == len(text)
        # But at the text's end, the last window may have been cut short: it begins the next part.
        spans += [(start + a, start + b) for a, b in (found if last else found[:-1])]
        if last:
            return spans
        start += found[-1][0]


async def _joined(parts: Sequence[tuple[Span, Row]], breath: Breath) -> Row:
    best: dict[str, Detection] = {}
    found: dict[tuple[str, int, int], Detection] = {}
    for (start, end), row in parts:
        await breath.take()
        for hit in row:
            if hit.start is None or hit.end is None:
                held = best.get(hit.label)
                if held is None or hit.score > held.score:
                    best[hit.label] = msgspec.structs.replace(hit, start=start, end=end)
            else:
                key = (hit.label, start + hit.start, start + hit.end)
                if key not in found or hit.score > found[key].score:
                    found[key] = msgspec.structs.replace(hit, start=key[1], end=key[2])
    return [*best.values(), *found.values()]
