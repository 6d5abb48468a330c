"""Where may a growing text be cut so that each piece can be read by itself?

A cut depends only on the text before it and on the one character behind it, never on how the text
arrived; so a stream is read in the same pieces as the whole text would be.
"""

from __future__ import annotations

from itertools import pairwise

FIRST_CHARACTERS = 12
FEWEST_CHARACTERS = 24
MOST_CHARACTERS = 40
HARD_CHARACTERS = 96
"""A clause is cut at its end from FEWEST on, at a space from MOST on, anywhere from HARD on; in the
first piece, for which somebody waits, at its end from FIRST on and at a space from FEWEST on. At 50
tokens a second MOST is a fifth of a second of text."""

_ENDS = frozenset(".!?;:,—–…\n")
_ENDS_WITHOUT_SPACE = frozenset("。！？；：，、।؟،؛")


class Cuts:
    """The cuts of one text, found as it grows. Cost: each character is looked at once."""

    __slots__ = ("_before", "_begin", "_length")

    def __init__(self) -> None:
        self._begin = 0
        self._length = 0
        self._before = ""

    def feed(self, piece: str) -> list[int]:
        """The new cuts of the text that this piece makes longer.

        A cut is only sure once the character behind it is there.
        """
        found = []
        before, size = self._before, self._length - self._begin
        fewest, most = self._sizes()
        for after in piece:
            if size >= fewest and _cuts(before, after, size, most):
                self._begin += size
                found.append(self._begin)
                size = 0
                fewest, most = self._sizes()
            before = after
            size += 1
        self._before = before
        self._length += len(piece)
        return found

    def _sizes(self) -> tuple[int, int]:
        if self._begin:
            return FEWEST_CHARACTERS, MOST_CHARACTERS
        return FIRST_CHARACTERS, FEWEST_CHARACTERS

    def end(self) -> list[int]:
        """The cut at the text's end, once there is no more of it."""
        if self._begin == self._length:
            return []
        self._begin = self._length
        return [self._length]


def _cuts(before: str, after: str, size: int, most: int) -> bool:
    if size >= HARD_CHARACTERS or before in _ENDS_WITHOUT_SPACE:
        return True
    return after.isspace() and (size >= most or before in _ENDS)


def pieces(text: str) -> list[tuple[int, int]]:
    """A whole text's pieces as (start, end), each with the piece before it as its context."""
    cuts = Cuts()
    borders = [0, 0, *cuts.feed(text), *cuts.end()]
    return [(start, end) for (start, _), (_, end) in pairwise(pairwise(borders))]
