"""How is a text of any length read once, canonically, without holding the event loop?

A long text is normalised piece by piece. Each piece is read with a margin of its neighbours, of
which only the middle is kept, so that what hides across a cut is still found.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from guardrails.text.normalise import Canonical, normalise

Span = tuple[int, int]

# Hostile text costs the normaliser up to 6 ms per 1,000 characters, and a finder up to 3 ms
# (docs/models/normaliser.md): neither may hold the loop for more than about 12 ms.
PIECE_CHARACTERS = 1_024
MARGIN_CHARACTERS = 384
SLICE_CHARACTERS = 3_072
# How much of a text a match may need to see before its beginning and after it.
LEFT_CHARACTERS = 512
RIGHT_CHARACTERS = 16_896


class Reading:
    """A text as detectors read it, the further readings within it, and the way back.

    `extra` are (start, end, text): what was encoded at that span of the original.
    """

    __slots__ = ("_bases", "_parts", "extra", "text")

    def __init__(self, parts: list[tuple[int, int, str, Canonical]]) -> None:
        """Each part: where its reading begins in the original, how much of the reading's beginning
        is left out, the text that is kept, and the reading.
        """
        self._parts = parts
        self._bases = [0]
        self.extra: list[tuple[int, int, str]] = []
        self.text = parts[0][2] if len(parts) == 1 else "".join(part[2] for part in parts)
        for _, _, text, _ in parts[:-1]:
            self._bases.append(self._bases[-1] + len(text))

    def to_original(self, start: int, end: int) -> Span:
        """The span of the original that the span `start`, `end` of `text` came from."""
        first = self._place(start)
        last = self._place(max(start, end - 1))
        return self._map(first, start, start + 1)[0], self._map(last, end - 1, end)[1]

    def _place(self, position: int) -> int:
        return bisect_right(self._bases, position) - 1

    def _map(self, number: int, start: int, end: int) -> Span:
        origin, left_out, _, canonical = self._parts[number]
        shift = left_out - self._bases[number]
        begin, finish = canonical.to_original(start + shift, end + shift)
        return origin + begin, origin + finish


async def read(text: str, breathe: Callable[[], Awaitable[None]]) -> Reading:
    """The canonical reading of a text; `breathe` is awaited between its pieces."""
    if len(text) <= PIECE_CHARACTERS:
        canonical = normalise(text)
        reading = Reading([(0, 0, canonical.text, canonical)])
        reading.extra.extend(canonical.extra)
        return reading
    parts = []
    extra = []
    async for start, end in _pieces(len(text), breathe):
        origin = max(start - MARGIN_CHARACTERS, 0)
        canonical = normalise(text[origin : end + MARGIN_CHARACTERS])
        begin = _first_at(canonical, start - origin)
        finish = _first_at(canonical, end - origin) if end < len(text) else len(canonical.text)
        parts.append((origin, begin, canonical.text[begin:finish], canonical))
        extra += [
            (origin + first, origin + last, said)
            for first, last, said in canonical.extra
            if _is_of_piece(origin + first, origin + last, start, end)
        ]
    reading = Reading(parts)
    reading.extra = extra
    return reading


def slices(length: int) -> Iterator[tuple[int, int, int, int]]:
    """Overlapping slices (start, end) of a text, and between which places its own matches begin.

    Every place belongs to one slice, which shows LEFT_CHARACTERS before it and RIGHT_CHARACTERS
    after it, or all that there is; a slice has at most SLICE_CHARACTERS places of its own.
    """
    first = 0
    while length - first > SLICE_CHARACTERS:
        last = first + SLICE_CHARACTERS
        yield max(first - LEFT_CHARACTERS, 0), min(last + RIGHT_CHARACTERS, length), first, last
        first = last
    yield max(first - LEFT_CHARACTERS, 0), length, first, length + 1


async def _pieces(
    length: int, breathe: Callable[[], Awaitable[None]]
) -> AsyncIterator[tuple[int, int]]:
    for start in range(0, length, PIECE_CHARACTERS):
        await breathe()
        yield start, min(start + PIECE_CHARACTERS, length)


def _is_of_piece(first: int, last: int, start: int, end: int) -> bool:
    """Whether what is encoded from `first` to `last` begins in a piece, or went on past what the
    piece before could see.
    """
    return first < end and (start <= first or last > start + MARGIN_CHARACTERS)


def _first_at(canonical: Canonical, place: int) -> int:
    """The first position of the canonical text that came from `place` of the original or later."""
    positions = range(len(canonical.text))
    return bisect_left(positions, place, key=lambda at: canonical.to_original(at, at + 1)[0])
