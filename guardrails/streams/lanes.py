"""A stream's texts while they grow: what has come, what has been read, what may be let go."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from guardrails.text.clauses import Cuts, Spans
from guardrails.types import Segment, Stage
from guardrails.wire.deltas import Lane

CONTEXT_CHARACTERS = 64
"""How much of the text before a piece a finder sees: enough for a word's border or a 'not'."""


def goes_on(text: Lane | Segment) -> bool:
    """Whether a text of an answer goes on from the beginning that the caller gave it."""
    spoken = text.stage is Stage.OUTPUT and text.role == "assistant"
    return spoken and text.pointer[-1] in ("content", "text")


class Slice(Struct, frozen=True):
    """A part of the text `number` that a detector is given."""

    number: int
    start: int
    end: int
    text: str


class Edit(Struct, frozen=True, order=True):
    """A span in whose place something else leaves."""

    start: int
    end: int
    shown: str


class Growing:
    """One lane. Offsets count from the lane's beginning; of its text only the tail is kept.

    `read` is the end of the last piece that was read and let pass, `safe` the place up to which the
    text may leave: `read`, or before it where a match may still be growing. What the text goes on
    from (`begun`) lies before its beginning, at negative offsets: it is read, and never let out.
    """

    __slots__ = ("_base", "_cuts", "_edits", "_spans", "_tail", "_unread", "lane", "length",
                 "number", "read", "safe")  # fmt: skip

    def __init__(self, number: int, lane: Lane, begun: str = "") -> None:
        self.number = number
        self.lane = lane
        self.length = 0
        self.read = 0
        self.safe = 0
        self._base = -len(begun)
        self._tail = begun
        self._cuts = Cuts()
        self._spans = Spans(len(begun))
        self._unread: list[int] = []
        self._edits: list[Edit] = []

    def grow(self, piece: str) -> bool:
        """Take in what has come; whether a piece waits to be read now."""
        self._tail += piece
        self.length += len(piece)
        self._unread += self._cuts.feed(piece)
        return bool(self._unread)

    def end(self) -> None:
        """There is no more: what is left over becomes the last piece."""
        self._unread += self._cuts.end()

    @property
    def unread(self) -> bool:
        """Whether a piece waits to be read."""
        return bool(self._unread)

    def take(self) -> tuple[Slice, list[Slice]]:
        """What is to be read now: one slice for finders; for scorers one a piece, and some longer.

        A finder's slice begins before the first character that has not left yet, so that no match
        is cut in two; a scorer's piece has the piece before it as its context.
        """
        cuts, self._unread = self._unread, []
        scorers = []
        for cut in cuts:
            scorers += [self._slice(start, end) for start, end in self._spans.at(cut)]
            self.read = cut
        start = max(self._base, self.safe - CONTEXT_CHARACTERS) if self.safe else self._base
        return self._slice(start, cuts[-1]), scorers

    def held(self) -> str:
        """What was read and has not been let go."""
        return self._tail[self.safe - self._base : self.read - self._base]

    def begun(self) -> str:
        """What the held text goes on from, while none of it has left."""
        return "" if self.safe else self._tail[: -self._base]

    def let_go(self, characters: int) -> None:
        """So much of what is held may leave."""
        self.safe += characters
        if not self.safe:
            return
        keep_from = max(self._base, min(self.safe - CONTEXT_CHARACTERS, self._spans.keep_from))
        self._tail = self._tail[keep_from - self._base :]
        self._base = keep_from

    def cut_out(self, edits: Sequence[Edit]) -> None:
        """Something else leaves for these spans; what has left already stays as it left.

        Spans that overlap become one, shown as the first.
        """
        merged: list[Edit] = []
        for edit in sorted({*self._edits, *(e for e in edits if e.start >= self.safe)}):
            if merged and edit.start < merged[-1].end:
                merged[-1] = Edit(merged[-1].start, max(merged[-1].end, edit.end), merged[-1].shown)
            else:
                merged.append(edit)
        self._edits = merged

    def shown(self, start: int, text: str) -> str:
        """How a piece of the lane that begins at `start` leaves."""
        if not self._edits:
            return text
        end = start + len(text)
        pieces, position = [], start
        for edit in self._edits:
            if edit.end <= start or edit.start >= end:
                continue
            pieces.append(text[position - start : max(edit.start, start) - start])
            if edit.start >= start:
                pieces.append(edit.shown)
            position = min(edit.end, end)
        return "".join(pieces) + text[position - start :]

    def _slice(self, start: int, end: int) -> Slice:
        return Slice(self.number, start, end, self._tail[start - self._base : end - self._base])
