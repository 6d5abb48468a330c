"""Runs detectors on the texts of one side of an exchange; whatever happens becomes a Check.

Each text is normalised once. Finders run here, in the event loop, a slice of text at a time;
Scorers run in the inference worker, at the same time. A detector's fault, a worker that is away and
a deadline that passes all end in `Check.error`, for the policy to act on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from guardrails.detectors import Finder
from guardrails.errors import GuardUnavailable
from guardrails.inference.client import InferenceClient, Loaded, Scored
from guardrails.text.normalise import Canonical, normalise
from guardrails.types import Check, Detection, Segment, Stage

logger = logging.getLogger(__name__)

SLICE_CHARACTERS = 16_384
# A match of up to half of this is found whole wherever the slices are cut.
OVERLAP_CHARACTERS = 4_096
_BREATH_CHARACTERS = 32_768
_LONGEST_WORD = 1_024
_LATE = "the deadline passed"

Where = tuple[Stage, str]


class Checker:
    """The detectors that are loaded, and how they are run.

    Cost: about 40 µs of its own for two short texts and finders only.
    """

    def __init__(
        self,
        finders: Mapping[str, Finder],
        inference: InferenceClient | None,
        *,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._finders = dict(finders)
        self._inference = inference
        self._now = now
        self._loaded: dict[str, Loaded] = {}
        self.known: dict[str, Sequence[str]] = {
            name: tuple(finder.labels) for name, finder in finders.items()
        }

    async def start(self) -> None:
        """Learn the worker's detectors. Errors: GuardUnavailable until all of them are warm."""
        if self._inference is not None:
            self._loaded = await self._inference.describe()
            self.known |= {name: loaded.labels for name, loaded in self._loaded.items()}

    async def run(
        self,
        detectors: Collection[str],
        segments: Sequence[Segment],
        side: Stage,
        *,
        timeout_seconds: float,
    ) -> tuple[Check, ...]:
        """One check a detector, in the order of their names.

        A check holds, for every label, its highest score on each stage and role, and every span
        that a finder found; offsets are into the segments' own texts. Never raises for a fault.
        """
        names = sorted(detectors)
        if not names:
            return ()
        run = _Run(segments, side, self._now, self._now() + timeout_seconds)
        started = self._now()
        try:
            await run.read()
        except Exception as error:
            logger.exception("The texts could not be normalised")
            return tuple(run.failed(name, "", started, type(error).__name__) for name in names)
        asked = {
            name: asyncio.ensure_future(self._score(name, run))
            for name in names
            if name not in self._finders
        }
        checks: dict[str, Check] = {}
        try:
            if asked:
                # The worker has the texts before the finders begin.
                await asyncio.sleep(0)
            for name in names:
                if name in self._finders:
                    checks[name] = await run.find(name, self._finders[name])
            for name, task in asked.items():
                checks[name] = await task
        finally:
            for task in asked.values():
                task.cancel()
        return tuple(checks[name] for name in names)

    async def _score(self, name: str, run: _Run) -> Check:
        loaded = self._loaded.get(name)
        if self._inference is None or loaded is None:
            return run.failed(name, "", run.now(), "the detector is not loaded")
        started = run.now()
        texts = list(run.numbers)
        try:
            scored = await self._inference.score(
                name, texts, timeout_seconds=max(run.expires_at - started, 0)
            )
            detections = run.highest(loaded.labels, scored)
        except GuardUnavailable as error:
            return run.failed(name, loaded.version, started, error.message)
        except Exception as error:
            logger.exception("The answer for %s could not be used", name)
            return run.failed(name, loaded.version, started, type(error).__name__)
        return Check(
            name,
            loaded.version,
            run.side,
            detections,
            run.now() - started,
            None,
            tuple(scored.uncovered),
        )


class _Reading:
    """A text as detectors read it, and the way back to its own characters."""

    __slots__ = ("_froms", "_parts", "text")

    def __init__(self, parts: Sequence[tuple[int, Canonical]]) -> None:
        """`parts` are the canonical pieces with the place of each in the original."""
        self._parts = parts
        self._froms = [0]
        for _, part in parts[:-1]:
            self._froms.append(self._froms[-1] + len(part.text))
        self.text = parts[0][1].text if len(parts) == 1 else "".join(p.text for _, p in parts)

    def to_original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that a span of `text` came from."""
        first, last = self._at(start), self._at(max(start, end - 1))
        begin, _ = self._map(first, start, end)
        _, finish = self._map(last, start, end)
        return begin, finish

    def _at(self, place: int) -> int:
        return bisect_right(self._froms, place) - 1

    def _map(self, number: int, start: int, end: int) -> tuple[int, int]:
        base = self._froms[number]
        origin, part = self._parts[number]
        low, high = max(start - base, 0), min(end - base, len(part.text))
        begin, finish = part.to_original(low, high)
        return origin + begin, origin + finish


class _Run:
    """One call of `run`: its texts, its clock, and how much it did since it last let go."""

    def __init__(
        self, segments: Sequence[Segment], side: Stage, now: Callable[[], float], expires_at: float
    ) -> None:
        self.segments = segments
        self.side = side
        self.now = now
        self.expires_at = expires_at
        self._held_characters = 0
        self._readings: list[_Reading] = []
        self._wheres: list[Where] = [(segment.stage, segment.role) for segment in segments]
        self.numbers: dict[str, list[int]] = {}

    async def read(self) -> None:
        """Normalise every text once; `numbers` maps each distinct reading to its segments."""
        known: dict[str, _Reading] = {}
        for number, segment in enumerate(self.segments):
            reading = known.get(segment.text)
            if reading is None:
                reading = known[segment.text] = await self._read(segment.text)
            self._readings.append(reading)
            self.numbers.setdefault(reading.text, []).append(number)

    async def _read(self, text: str) -> _Reading:
        if len(text) <= SLICE_CHARACTERS:
            await self._breathe(len(text))
            return _Reading([(0, normalise(text))])
        parts = []
        for start, end in _pieces(text):
            await self._breathe(end - start)
            parts.append((start, normalise(text[start:end])))
        return _Reading(parts)

    async def find(self, name: str, finder: Finder) -> Check:
        """Run one finder over every segment."""
        started = self.now()
        found: list[Detection] = []
        try:
            for number, reading in enumerate(self._readings):
                for start, end, first, last in _slices(len(reading.text)):
                    await self._breathe(end - start)
                    if self.now() > self.expires_at:
                        return self.failed(name, finder.version, started, _LATE)
                    piece = reading.text if end - start == len(reading.text) else None
                    for hit in finder.find(piece or reading.text[start:end]):
                        at = start + (hit.start or 0)
                        if first <= at < last:
                            found.append(_placed(hit, number, start, reading))
        except Exception as error:
            logger.exception("%s failed", name)
            return self.failed(name, finder.version, started, type(error).__name__)
        detections = (*found, *self._absent(finder.labels, found))
        return Check(name, finder.version, self.side, detections, self.now() - started)

    def highest(self, labels: Sequence[str], scored: Scored) -> tuple[Detection, ...]:
        """The highest score of each label on each stage and role."""
        best: dict[tuple[Where, int], tuple[float, int, tuple[int, int] | None]] = {}
        for numbers, scores, spans in zip(
            self.numbers.values(), scored.scores, scored.spans, strict=True
        ):
            for number in numbers:
                where = self._wheres[number]
                for label, score in enumerate(scores):
                    held = best.get((where, label))
                    if held is None or score > held[0]:
                        best[where, label] = (score, number, spans[label])
        return tuple(
            self._scored(labels[label], score, number, span)
            for (_, label), (score, number, span) in best.items()
        )

    def failed(self, name: str, version: str, started: float, why: str) -> Check:
        """A check that could not run."""
        return Check(name, version, self.side, (), self.now() - started, why)

    def _scored(
        self, label: str, score: float, number: int, span: tuple[int, int] | None
    ) -> Detection:
        if span is None:
            return Detection(label, score, number)
        return Detection(label, score, number, *self._readings[number].to_original(*span))

    def _absent(self, labels: Sequence[str], found: Sequence[Detection]) -> Iterable[Detection]:
        # A rule that finds no score of its label takes the check for failed, so each one is given.
        seen = {(self._wheres[hit.segment], hit.label) for hit in found}
        firsts: dict[Where, int] = {}
        for number, where in enumerate(self._wheres):
            firsts.setdefault(where, number)
        for where, number in firsts.items():
            for label in labels:
                if not seen or (where, label) not in seen:
                    yield Detection(label, 0.0, number)

    async def _breathe(self, characters: int) -> None:
        self._held_characters += characters
        if self._held_characters > _BREATH_CHARACTERS:
            self._held_characters = 0
            await asyncio.sleep(0)


def _placed(hit: Detection, number: int, offset: int, reading: _Reading) -> Detection:
    if hit.start is None or hit.end is None:
        return Detection(hit.label, hit.score, number, None, None, hit.evidence)
    start, end = reading.to_original(offset + hit.start, offset + hit.end)
    return Detection(hit.label, hit.score, number, start, end, hit.evidence)


def _pieces(text: str) -> Iterable[tuple[int, int]]:
    """Disjoint pieces, cut at white space where there is some: no character's reading is torn."""
    start, length = 0, len(text)
    while length - start > SLICE_CHARACTERS:
        end = start + SLICE_CHARACTERS
        for place in range(end, end - _LONGEST_WORD, -1):
            if text[place - 1].isspace():
                end = place
                break
        yield start, end
        start = end
    yield start, length


def _slices(length: int) -> Iterable[tuple[int, int, int, int]]:
    """Overlapping slices (start, end), and between which places each one's matches begin.

    A match belongs to the one slice that shows at least half an overlap on either side of it.
    """
    if length <= SLICE_CHARACTERS:
        yield 0, length, 0, length + 1
        return
    start = first = 0
    while True:
        end = min(start + SLICE_CHARACTERS, length)
        if end == length:
            yield start, end, first, length + 1
            return
        last = end - OVERLAP_CHARACTERS // 2
        yield start, end, first, last
        start, first = end - OVERLAP_CHARACTERS, last
