"""Where may a growing text be cut so that each piece can be read by itself?

A cut depends only on the text before it and on the one character behind it, never on how the text
arrived; so a stream is read in the same pieces as the whole text would be.
"""

from __future__ import annotations

FIRST_CHARACTERS = 12
FEWEST_CHARACTERS = 24
MOST_CHARACTERS = 40
HARD_CHARACTERS = 96
"""A clause is cut at its end from FEWEST on, at a space from MOST on, anywhere from HARD on; in the
first piece, for which somebody waits, at its end from FIRST on and at a space from FEWEST on. At 50
tokens a second MOST is a fifth of a second of text."""

FIRST_LONGER = 256
MOST_LONGER = 560
LONGER_SHARE = 0.5
"""At FIRST_LONGER characters, and whenever there are twice as many, a longer end is read too: up to
MOST_LONGER characters (about 480 more than a piece and its context), and in all LONGER_SHARE of the
text."""

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
        found: list[int] = []
        before, size = self._before, self._length - self._begin
        fewest, most = self._sizes()
        if size + len(piece) <= fewest:
            # The most frequent case, and too short for any cut.
            self._before = piece[-1:] or before
            self._length += len(piece)
            return found
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


class Spans:
    """What a model reads at each cut of one text, as (start, end).

    Always the piece with the one before it; when the text has passed FIRST_LONGER characters, twice
    as many, and so on, also as much of its end as the budget leaves: harm that is spread over more
    than two clauses.

    Cost: at most 2 + LONGER_SHARE characters are read for each of the text's.
    """

    __slots__ = ("_before", "_begin", "_last", "_longer_at", "_spent")

    def __init__(self, begun: int = 0) -> None:
        """The text goes on from `begun` characters that were said before it."""
        self._begin = -begun
        self._before = -begun
        self._last = 0
        self._spent = 0
        self._longer_at = FIRST_LONGER

    @property
    def keep_from(self) -> int:
        """The first character that a later span may still begin with."""
        return max(self._begin, min(self._before, self._last - MOST_LONGER))

    def at(self, cut: int) -> list[tuple[int, int]]:
        """The spans that end at the next cut."""
        spans = [(self._before, cut)]
        self._before, self._last = self._last, cut
        if cut >= self._longer_at:
            # By the length and not by the cut, so that the budget holds wherever the text ends.
            size = min(int(self._longer_at * LONGER_SHARE) - self._spent, MOST_LONGER)
            self._spent += size
            self._longer_at *= 2
            spans.append((cut - size, cut))
        return spans


def pieces(text: str, begun: int = 0) -> list[tuple[int, int]]:
    """All that a model reads of a whole text, as (start, end); the first piece with the `begun`
    characters that it goes on from.
    """
    cuts, spans = Cuts(), Spans(begun)
    return [span for cut in (*cuts.feed(text), *cuts.end()) for span in spans.at(cut)]
