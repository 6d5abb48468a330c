"""How does a text change, so that every place in the new one leads back to the old?"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

Edit = tuple[int, int, str]
"""Start and end in the old text, and what stands there in the new one."""


class Layer(Struct, frozen=True):
    """The ends of each edit in the new text and in the old: one round of changes.

    Size is that of the edits, not of the text.
    """

    new_starts: list[int]
    new_ends: list[int]
    old_starts: list[int]
    old_ends: list[int]

    def start(self, position: int) -> int:
        """Where the character at `position` of the new text began in the old one."""
        at = bisect_right(self.new_starts, position) - 1
        if at < 0:
            return position
        if position < self.new_ends[at]:
            return self.old_starts[at]
        return position - self.new_ends[at] + self.old_ends[at]

    def end(self, position: int) -> int:
        """Where the character before `position` of the new text ended in the old one."""
        if position == 0:
            return 0
        at = bisect_right(self.new_starts, position - 1) - 1
        if at < 0:
            return position
        if position - 1 < self.new_ends[at]:
            return self.old_ends[at]
        return position - self.new_ends[at] + self.old_ends[at]


def apply(text: str, edits: Sequence[Edit]) -> tuple[str, Layer]:
    """The text with the edits made, and the way back. Edits are in order and do not overlap."""
    pieces: list[str] = []
    layer = Layer([], [], [], [])
    reached = length = 0
    for start, end, new in edits:
        pieces += (text[reached:start], new)
        length += start - reached
        layer.new_starts.append(length)
        length += len(new)
        layer.new_ends.append(length)
        layer.old_starts.append(start)
        layer.old_ends.append(end)
        reached = end
    pieces.append(text[reached:])
    return "".join(pieces), layer
