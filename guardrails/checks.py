"""Runs detectors on the texts of one side of an exchange; whatever happens becomes a Check.

Each text is normalised once. Finders run here, in the event loop, a slice of text at a time;
Scorers run in the inference worker, at the same time. A detector's fault, a worker that is away and
a deadline that passes all end in `Check.error`, for the policy to act on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from guardrails.detectors import Finder
from guardrails.errors import GuardUnavailable
from guardrails.faults import fault_of
from guardrails.inference.client import InferenceClient, Loaded, Scored
from guardrails.reading import Reading, Span, read, slices
from guardrails.types import Check, Detection, Segment, Stage

logger = logging.getLogger(__name__)

_HELD_SECONDS = 0.004
_DESCRIBE_SECONDS = 5.0
_LATE = "the deadline passed"

Where = tuple[Stage, str, int]
"""What a rule looks at as one: a stage and a role, in an answer of one choice."""


class Checker:
    """The detectors that are loaded, and how they are run.

    Cost: some 15 µs of its own for two short texts and finders only.
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
            await self._learn(self._inference, _DESCRIBE_SECONDS)

    def finders(self, detectors: Collection[str]) -> frozenset[str]:
        """Which of some detectors find spans, in the event loop."""
        return frozenset(detectors) & self._finders.keys()

    def live_from(self, finders: Collection[str], text: str) -> int:
        """From where on more text may still make a match; 0 where a finder cannot tell."""
        live = (getattr(self._finders[name], "live_from", _everything) for name in finders)
        return min((from_(text) for from_ in live), default=len(text))

    async def run(
        self,
        detectors: Collection[str],
        segments: Sequence[Segment],
        side: Stage,
        *,
        timeout_seconds: float,
    ) -> tuple[Check, ...]:
        """One check a detector, in the order of their names.

        A check holds, for every label, its highest score on each stage and role (in an answer of
        each choice), and every span that a finder found; offsets are into the segments' own texts.
        Never raises for a fault.
        """
        names = sorted(detectors)
        if not names:
            return ()
        run = _Run(segments, side, self._now, timeout_seconds)
        started = self._now()
        try:
            await run.read()
        except Exception as error:
            logger.error("The texts could not be normalised: %s", fault_of(error))
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

    async def _learn(self, inference: InferenceClient, timeout_seconds: float) -> None:
        self._loaded = await inference.describe(timeout_seconds=timeout_seconds)
        self.known |= {name: loaded.labels for name, loaded in self._loaded.items()}

    async def _score(self, name: str, run: _Run) -> Check:
        started = run.now()
        loaded = self._loaded.get(name)
        if self._inference is None or loaded is None:
            return run.failed(name, "", started, "the detector is not loaded")
        try:
            places = run.places()
            scored = await self._inference.score(
                name, tuple(places), timeout_seconds=max(run.expires_at - started, 0)
            )
            if scored.version != loaded.version:
                # A worker that was started anew may have loaded another model, with other labels.
                await self._learn(self._inference, max(run.expires_at - run.now(), 0))
                loaded = self._loaded.get(name, loaded)
                if scored.version != loaded.version:
                    return run.failed(name, loaded.version, started, "the detector has changed")
            detections = run.highest(loaded.labels, places, scored)
        except GuardUnavailable as error:
            return run.failed(name, loaded.version, started, error.message)
        except Exception as error:
            logger.error("The answer for %s could not be used: %s", name, fault_of(error))
            return run.failed(name, loaded.version, started, type(error).__name__)
        seconds = run.now() - started
        uncovered = tuple(scored.uncovered)
        return Check(
            name,
            loaded.version,
            run.side,
            detections=detections,
            seconds=seconds,
            uncovered=uncovered,
        )


Places = dict[str, list[tuple[int, Span | None]]]
"""Where each text to be scored stands: the segment, and the span of it where it was encoded."""


class _Run:
    """One call of `run`: its texts, its clock, and since when it has held the event loop."""

    def __init__(
        self,
        segments: Sequence[Segment],
        side: Stage,
        now: Callable[[], float],
        timeout_seconds: float,
    ) -> None:
        self.side = side
        self.now = now
        self._held_since = now()
        self.expires_at = self._held_since + timeout_seconds
        self._segments = segments
        # A request passes whole or not at all, but each choice of an answer is judged by itself.
        self._wheres: list[Where] = [
            (segment.stage, segment.role, segment.index if side is Stage.OUTPUT else 0)
            for segment in segments
        ]
        self._readings: list[Reading] = []

    async def read(self) -> None:
        """Normalise every text once."""
        known: dict[str, Reading] = {}
        for segment in self._segments:
            reading = known.get(segment.text)
            if reading is None:
                await self._breathe()
                reading = known[segment.text] = await read(segment.text, self._breathe)
            self._readings.append(reading)

    async def find(self, name: str, finder: Finder) -> Check:
        """Run one finder over every segment."""
        started = self.now()
        found: list[Detection] = []
        try:
            for number, reading in enumerate(self._readings):
                for start, end, first, last in slices(len(reading.text)):
                    await self._breathe()
                    if self.now() > self.expires_at:
                        return self.failed(name, finder.version, started, _LATE)
                    for hit in finder.find(reading.text[start:end]):
                        if hit.start is None or hit.end is None:
                            found.append(_at(hit, number, None))
                        elif first <= start + hit.start < last:
                            span = reading.to_original(start + hit.start, start + hit.end)
                            found.append(_at(hit, number, span))
                for begin, finish, said in reading.extra:
                    await self._breathe()
                    found += [_at(hit, number, (begin, finish)) for hit in finder.find(said)]
        except Exception as error:
            logger.error("%s failed: %s", name, fault_of(error))
            return self.failed(name, finder.version, started, type(error).__name__)
        detections = (*found, *self._absent(finder.labels, found))
        seconds = self.now() - started
        return Check(name, finder.version, self.side, detections=detections, seconds=seconds)

    def places(self) -> Places:
        """Every distinct text that a scorer reads, encoded ones too, and where it stands."""
        places: Places = {}
        for number, reading in enumerate(self._readings):
            places.setdefault(reading.text, []).append((number, None))
            for start, end, said in reading.extra:
                places.setdefault(said, []).append((number, (start, end)))
        return places

    def highest(
        self, labels: Sequence[str], places: Places, scored: Scored
    ) -> tuple[Detection, ...]:
        """The highest score of each label on each stage, role and choice."""
        best: dict[tuple[Where, int], tuple[float, int, Span | None]] = {}
        for standing, scores, spans in zip(
            places.values(), scored.scores, scored.spans, strict=True
        ):
            for number, encoded in standing:
                where = self._wheres[number]
                for label, (score, span) in enumerate(zip(scores, spans, strict=True)):
                    held = best.get((where, label))
                    if held is None or score > held[0]:
                        if encoded is None and span is not None:
                            span = self._readings[number].to_original(*span)
                        best[where, label] = (score, number, encoded or span)
        return tuple(
            Detection(labels[label], score, number, *(span or (None, None)))
            for (_, label), (score, number, span) in best.items()
        )

    def failed(self, name: str, version: str, started: float, why: str) -> Check:
        """A check that could not run."""
        return Check(name, version, self.side, seconds=self.now() - started, error=why)

    def _absent(self, labels: Sequence[str], found: Sequence[Detection]) -> Iterator[Detection]:
        # A rule that finds no score of its label takes the check for failed, so each one is given.
        seen = {(self._wheres[hit.segment], hit.label) for hit in found}
        firsts: dict[Where, int] = {}
        for number, where in enumerate(self._wheres):
            firsts.setdefault(where, number)
        for where, number in firsts.items():
            for label in labels:
                if (where, label) not in seen:
                    yield Detection(label, 0.0, number)

    async def _breathe(self) -> None:
        if self.now() - self._held_since > _HELD_SECONDS:
            await asyncio.sleep(0)
            self._held_since = self.now()


def _everything(_text: str) -> int:
    return 0


def _at(hit: Detection, number: int, span: Span | None) -> Detection:
    start, end = span or (None, None)
    return Detection(hit.label, hit.score, number, start, end, hit.evidence)
