"""Where may a growing text be cut so that each piece can be read by itself?

A cut depends only on the text before it and on the one character behind it, never on how the text
arrived; so a stream is read in the same pieces as the whole text would be.
"""

from __future__ import annotations

from collections.abc import Iterator

FIRST_CHARACTERS = 12
FEWEST_CHARACTERS = 32
MOST_CHARACTERS = 56
HARD_CHARACTERS = 96
"""A clause is cut at its end from FEWEST on (FIRST in the first piece), at a space from MOST on,
anywhere from HARD on. At 50 tokens a second MOST is a quarter of a second of text."""

_ENDS = frozenset(".!?;:,—–…\n")
_ENDS_WITHOUT_SPACE = frozenset("。！？；：，、।؟،؛")


class Cuts:
    """The cuts of one text, found as it grows. Cost: each character is looked at once."""

    def __init__(self) -> None:
        self._begin = 0
        self._at = 0

    def of(self, text: str, *, whole: bool = False) -> Iterator[int]:
        """The new cuts of a text that has grown; `whole` adds its end.

        A cut is only sure once the character behind it is there.
        """
        last = len(text) - 1
        while self._at < last:
            self._at += 1
            if self._cuts(text, self._at):
                self._begin = self._at
                yield self._at
        if whole and self._begin < len(text):
            self._begin = self._at = len(text)
            yield len(text)

    def _cuts(self, text: str, at: int) -> bool:
        size = at - self._begin
        if size >= HARD_CHARACTERS:
            return True
        if size < (FEWEST_CHARACTERS if self._begin else FIRST_CHARACTERS):
            return False
        before, after = text[at - 1], text[at]
        if before in _ENDS_WITHOUT_SPACE:
            return True
        return after.isspace() and (before in _ENDS or size >= MOST_CHARACTERS)


def pieces(text: str) -> list[tuple[int, int]]:
    """A whole text's pieces as (start, end), each with the piece before it as its context."""
    cuts = [0, 0, *Cuts().of(text, whole=True)]
    return list(zip(cuts, cuts[2:], strict=False))
