"""Where may a document's text be cut into passages?

At sentence ends and before headings, so that a passage can be read, and cited, by itself.
"""

from __future__ import annotations

import re

from guardrails.text.sentences import sentences

TARGET_CHARACTERS = 900
"""About 180 tokens: with its title it stays under the encoder's 256."""

OVERLAP_CHARACTERS = 200
"""The longest last sentence that the next passage repeats, so that none stands without context."""

_HEADING = re.compile(r"^#{1,6}[ \t]+\S.*$", re.MULTILINE)

Span = tuple[int, int]


def chunks(text: str, target: int = TARGET_CHARACTERS) -> list[Span]:
    """Spans of the passages of a text, in order.

    They cover every character that is not white space. None is longer than `target`; a sentence
    that is longer is cut at white space, or where there is none, inside a word. Neighbours under
    the same heading overlap by at most one sentence of OVERLAP_CHARACTERS.
    Cost:   linear in the text.
    """
    found: list[Span] = []
    for section in _sections(text):
        found += _packed(_pieces(text, section, target), target)
    return found


def _sections(text: str) -> list[Span]:
    """From heading to heading; headings that follow each other directly stay together."""
    starts = [0]
    for heading in _HEADING.finditer(text):
        before = text[starts[-1] : heading.start()]
        if _HEADING.sub("", before).strip():
            starts.append(heading.start())
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _pieces(text: str, section: Span, target: int) -> list[Span]:
    """The sentences of a section, the longest cut to size."""
    start, end = section
    found: list[Span] = []
    for first, last in sentences(text[start:end]):
        found += _cut(text, start + first, start + last, target)
    return found


def _cut(text: str, start: int, end: int, target: int) -> list[Span]:
    found: list[Span] = []
    while end - start > target:
        # A line's or a cell's end is better than any space.
        window = text[start : start + target]
        at = max(window.rfind("\n", target // 2), window.rfind("|\n", target // 2) + 1)
        at = at if at > 0 else window.rfind(" ", target // 2)
        at = at if at > 0 else target
        found += _trimmed(text, start, start + at)
        start += at
    return found + _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> list[Span]:
    piece = text[start:end]
    stripped = piece.strip()
    start += len(piece) - len(piece.lstrip())
    return [(start, start + len(stripped))] if stripped else []


def _packed(pieces: list[Span], target: int) -> list[Span]:
    found: list[Span] = []
    first = 0
    for number, (_, end) in enumerate(pieces):
        if end - pieces[first][0] <= target:
            continue
        found.append((pieces[first][0], pieces[number - 1][1]))
        last_start, last_end = pieces[number - 1]
        repeats = (
            number - 1 > first
            and last_end - last_start <= OVERLAP_CHARACTERS
            and end - last_start <= target
        )
        first = number - 1 if repeats else number
    return [*found, (pieces[first][0], pieces[-1][1])] if pieces else []
