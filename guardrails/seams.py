"""How is a text found that was said in several pieces: over turns in a row, over a turn's parts?

Each piece is measured by itself, and the ends that meet are measured together besides. What is
found across such a seam is led back to every piece that has a share in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

import msgspec
from msgspec import Struct

from guardrails.checks import Checker
from guardrails.types import Check, Detection, Segment, Stage

REACH_CHARACTERS = 128
"""How much is read on each side of a seam."""

_MOST_OF_A_WORD = 32
_SPOKEN = frozenset({"content", "text", "system", "instructions"})
_READ_ON = frozenset({Stage.INPUT, Stage.TOOL_RESULT})


class Piece(Struct, frozen=True):
    """A part of segment `number`, which begins there at `start`; in the joined text at `at`."""

    at: int
    number: int
    start: int
    text: str


class Seam(Struct, frozen=True):
    """Ends of neighbouring texts, joined."""

    pieces: tuple[Piece, ...]
    text: str

    def led_back(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """Which spans (segment, start, end) the joined text's span `start`, `end` is made of."""
        spans = []
        for piece in self.pieces:
            first, last = max(start, piece.at), min(end, piece.at + len(piece.text))
            if first < last:
                shift = piece.start - piece.at
                spans.append((piece.number, first + shift, last + shift))
        return spans


def seams(segments: Sequence[Segment]) -> list[Seam]:
    """Every place where texts of one role follow each other, as it would read joined.

    Where two words touch they may be one or two, so both is read.
    Cost: linear; at most REACH_CHARACTERS on each side of a seam, and no character twice (four
    times where words touch).
    """
    # Names and other fields stand between two turns' texts without parting them for a reader.
    said = [n for n, s in enumerate(segments) if s.stage in _READ_ON and s.pointer[-1] in _SPOKEN]
    found = []
    for _, run in groupby(said, key=lambda number: _speaker(segments[number])):
        numbers = list(run)
        if len(numbers) > 1:
            for pieces in _ends([(number, segments[number].text) for number in numbers]):
                glued = _joined(pieces, "")
                spaced = _joined(pieces, " ")
                found.append(glued)
                if spaced.text != glued.text:
                    found.append(spaced)
    return found


def prefill(segments: Sequence[Segment]) -> str:
    """The end of the beginning that a request gives its answer; empty where the assistant's turn is
    not the last.
    """
    said = ""
    for segment in reversed(segments):
        if segment.role == "tool_definition":
            continue
        if segment.role != "assistant" or segment.stage is not Stage.INPUT:
            break
        if segment.pointer[-1] in _SPOKEN:
            said = segment.text + said
        if len(said) >= REACH_CHARACTERS:
            break
    return said[-REACH_CHARACTERS:]


async def measure(
    checker: Checker,
    detectors: Collection[str],
    segments: Sequence[Segment],
    *,
    timeout_seconds: float,
) -> tuple[Check, ...]:
    """Run detectors on a request's texts and on their seams; detections are of the texts alone."""
    between = seams(segments) if len(segments) > 1 else []
    given = [*segments, *(_segment(seam, segments) for seam in between)] if between else segments
    checks = await checker.run(detectors, given, Stage.INPUT, timeout_seconds=timeout_seconds)
    return tuple(_led_back(check, segments, between) for check in checks) if between else checks


def _speaker(segment: Segment) -> tuple[Stage, str, object]:
    instance = segment.pointer[1] if segment.pointer[0] == "instances" else None
    return segment.stage, segment.role, instance


def _ends(said: Sequence[tuple[int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    """The ends that are read together, as (segment, start, text): short texts are read whole, and
    a long one parts what is before it from what is behind.
    """
    number, text = said[0]
    together = [_tail(number, text)]
    for place, (number, text) in enumerate(said[1:], 1):
        last = place == len(said) - 1
        if last or len(text) > 2 * REACH_CHARACTERS:
            yield [*together, (number, 0, text[:REACH_CHARACTERS])]
            together = [_tail(number, text)]
        else:
            together.append((number, 0, text))


def _tail(number: int, text: str) -> tuple[int, int, str]:
    start = max(len(text) - REACH_CHARACTERS, 0)
    if start:
        # Half a word may look like another one.
        space = text.find(" ", start, start + _MOST_OF_A_WORD)
        start = start if space < 0 else space
    return number, start, text[start:]


def _joined(ends: Sequence[tuple[int, int, str]], space: str) -> Seam:
    pieces: list[Piece] = []
    written: list[str] = []
    at, before = 0, ""
    for number, start, text in ends:
        if space and before.isalnum() and text[:1].isalnum():
            written.append(space)
            at += len(space)
        pieces.append(Piece(at, number, start, text))
        written.append(text)
        at += len(text)
        before = text[-1:]
    return Seam(tuple(pieces), "".join(written))


def _segment(seam: Seam, segments: Sequence[Segment]) -> Segment:
    last = segments[seam.pieces[-1].number]
    return Segment(last.stage, last.role, last.index, last.pointer, seam.text)


def _led_back(check: Check, segments: Sequence[Segment], between: Sequence[Seam]) -> Check:
    detections: dict[Detection, None] = {}
    for hit in check.detections:
        if hit.segment < len(segments):
            detections[hit] = None
        else:
            seam = between[hit.segment - len(segments)]
            detections.update(dict.fromkeys(_shares(hit, seam)))
    return msgspec.structs.replace(check, detections=tuple(detections))


def _shares(hit: Detection, seam: Seam) -> list[Detection]:
    """A detection on a seam as one on each text that has a share in it."""
    if hit.start is None or hit.end is None:
        numbers = dict.fromkeys(piece.number for piece in seam.pieces)
        return [Detection(hit.label, hit.score, number) for number in numbers]
    spans = seam.led_back(hit.start, hit.end)
    if hit.evidence is not None and len(spans) < 2:
        # It is in one text, where it was found already; or not, for only a part of it was read.
        return [Detection(hit.label, 0.0, seam.pieces[-1].number)]
    return [
        Detection(hit.label, hit.score, number, start, end, hit.evidence)
        for number, start, end in spans
    ]
