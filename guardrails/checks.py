"""Runs detectors on the texts of one side of an exchange; whatever happens becomes a Check.

Each text is normalised once. Finders run here, in the event loop, a slice of text at a time;
Scorers run in the inference worker, at the same time, and so do Askers on other machines. A cascade
has one of these measure all texts, and another one those that are uncertain. A detector's fault, a
worker that is away and a deadline that passes all end in `Check.error`, for the policy to act on.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from guardrails.asking import Row
from guardrails.detectors import Asker, Finder
from guardrails.detectors.cascade import Cascade
from guardrails.errors import GuardUnavailable
from guardrails.faults import fault_of
from guardrails.inference.client import InferenceClient, Loaded
from guardrails.reading import Reading, Span, read, slices
from guardrails.types import Check, Detection, Segment, Stage

logger = logging.getLogger(__name__)

_HELD_SECONDS = 0.004
_DESCRIBE_SECONDS = 5.0
_LATE = "the deadline passed"

Where = tuple[Stage, str, int]
"""What a rule looks at as one: a stage and a role, in an answer of one choice."""


class Measured(NamedTuple):
    """A check, and what was detected in each text that it was made of."""

    check: Check
    rows: Sequence[Row] = ()


class Checker:
    """The detectors that are loaded, and how they are run.

    Cost: some 15 µs of its own for two short texts and finders only.
    """

    def __init__(
        self,
        finders: Mapping[str, Finder],
        inference: InferenceClient | None,
        *,
        askers: Mapping[str, Asker] | None = None,
        cascades: Mapping[str, Cascade] | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._finders = dict(finders)
        self._inference = inference
        self._askers = dict(askers or {})
        self.cascades = dict(cascades or {})
        self._now = now
        self._loaded: dict[str, Loaded] = {}
        self.known: dict[str, Sequence[str]] = {
            name: tuple(detector.labels)
            for own in (self._finders, self._askers, self.cascades)
            for name, detector in own.items()
        }
        self.scanned: dict[Stage, Counter[str]] = defaultdict(Counter)
        """How many characters each detector was given."""

    async def start(self) -> None:
        """Learn the worker's detectors.

        Errors: GuardUnavailable until all of them are warm; ConfigError for a cascade of detectors
        that are not there, or that have no scores of their own.
        """
        if self._inference is not None:
            await self._learn(self._inference, _DESCRIBE_SECONDS)
        tiers = {
            name: labels
            for name, labels in self.known.items()
            if name not in self._finders and name not in self.cascades
        }
        for cascade in self.cascades.values():
            cascade.check_tiers(tiers)

    def finders(self, detectors: Collection[str]) -> frozenset[str]:
        """Which of some detectors find spans, in the event loop."""
        return frozenset(detectors) & self._finders.keys()

    def live_from(self, labels: Mapping[str, Collection[str]], text: str) -> int:
        """From where on more text may still make a match of some finders' labels.

        The text's length where it cannot; 0 where a finder cannot tell.
        """
        return min(
            (
                getattr(self._finders[name], "live_from", lambda *_: 0)(text, wanted)
                for name, wanted in labels.items()
            ),
            default=len(text),
        )

    async def run(
        self,
        detectors: Collection[str],
        segments: Sequence[Segment],
        side: Stage,
        *,
        timeout_seconds: float,
        question: str = "",
    ) -> tuple[Check, ...]:
        """One check a detector, in the order of their names, then those that cascades needed.

        A check holds, for every label, its highest score on each stage and role (in an answer of
        each choice), and every span that a finder or an asker found; offsets are into the segments'
        own texts. `question` is what the texts of an answer answer. What a cascade's second
        detector measured is the check `CASCADE/DETECTOR`. Never raises for a fault.
        """
        names = sorted(detectors)
        if not names:
            return ()
        run = _Run(segments, side, self._now, timeout_seconds, question, self.scanned[side])
        started = self._now()
        try:
            await run.read()
        except Exception as error:
            logger.error("The texts could not be normalised: %s", fault_of(error))
            return tuple(run.failed(name, "", started, type(error).__name__) for name in names)
        named = [self.cascades[name] for name in names if name in self.cascades]
        whole = {n for n in names if n not in self._finders and n not in self.cascades}
        asked = {
            name: asyncio.ensure_future(self._measure(name, name, run))
            for name in sorted(whole | {cascade.first for cascade in named})
        }
        going = [asyncio.ensure_future(self._cascade(cascade, run, asked)) for cascade in named]
        checks: dict[str, Check] = {}
        try:
            if asked:
                # The worker has the texts before the finders begin.
                await asyncio.sleep(0)
            for name in names:
                if name in self._finders:
                    checks[name] = await run.find(name, self._finders[name])
            for name, task in asked.items():
                checks[name] = (await task).check
            for cascaded in going:
                checks |= {check.detector: check for check in await cascaded}
        finally:
            for waiting in (*asked.values(), *going):
                waiting.cancel()
        besides = sorted(checks.keys() - set(names))
        return tuple(checks[name] for name in (*names, *besides))

    async def _learn(self, inference: InferenceClient, timeout_seconds: float) -> None:
        self._loaded = await inference.describe(timeout_seconds=timeout_seconds)
        self.known |= {name: loaded.labels for name, loaded in self._loaded.items()}

    async def _cascade(
        self, cascade: Cascade, run: _Run, asked: Mapping[str, asyncio.Future[Measured]]
    ) -> list[Check]:
        """The cascade's own check, and its second detector's where that saw only some texts."""
        started = run.now()
        name, checks = cascade.name, []
        first = await asked[cascade.first]
        version = f"{first.check.version} > {self._version(cascade.then)}"
        if first.check.error is not None:
            return [run.failed(name, version, started, f"{cascade.first}: {first.check.error}")]
        try:
            numbers = cascade.uncertain(first.rows)
            second: dict[int, Row] = {}
            if numbers:
                if cascade.then in asked:
                    then = await asked[cascade.then]
                    rows = [then.rows[number] for number in numbers if then.rows]
                else:
                    recorded = f"{name}/{cascade.then}"
                    then = await self._measure(cascade.then, recorded, run, numbers)
                    rows = list(then.rows)
                    checks.append(then.check)
                if then.check.error is None:
                    second = dict(zip(numbers, rows, strict=True))
                else:
                    cascade.counts.failed += len(numbers)
                    if cascade.on_error == "fail":
                        why = f"{cascade.then}: {then.check.error}"
                        return [run.failed(name, version, started, why), *checks]
            combined = cascade.combine(first.rows, second)
            detections = await run.highest(run.places, combined, every_span=False)
        except Exception as error:
            logger.error("%s failed: %s", name, fault_of(error))
            return [run.failed(name, version, started, type(error).__name__), *checks]
        seconds = run.now() - started
        return [Check(name, version, run.side, detections=detections, seconds=seconds), *checks]

    async def _measure(
        self, name: str, recorded: str, run: _Run, numbers: Sequence[int] | None = None
    ) -> Measured:
        """Have one detector measure all texts, or those with `numbers`; the check is `recorded`."""
        started = run.now()
        try:
            places = run.places if numbers is None else run.some_places(numbers)
            run.scanned[name] += sum(map(len, places))
            asker = self._askers.get(name)
            uncovered: tuple[str, ...] = ()
            if asker is not None:
                left = max(run.expires_at - started, 0)
                rows = await asker.ask(
                    tuple(places), run.side, timeout_seconds=left, question=run.question
                )
            else:
                rows, uncovered = await self._score(name, run, tuple(places))
            detections = await run.highest(places, rows, every_span=asker is not None)
        except GuardUnavailable as error:
            why = error.message
        except Exception as error:
            logger.error("The answer for %s could not be used: %s", name, fault_of(error))
            why = type(error).__name__
        else:
            check = Check(
                recorded,
                self._version(name),
                run.side,
                detections=detections,
                seconds=run.now() - started,
                uncovered=uncovered,
            )
            return Measured(check, rows)
        return Measured(run.failed(recorded, self._version(name), started, why))

    async def _score(
        self, name: str, run: _Run, texts: tuple[str, ...]
    ) -> tuple[list[Row], tuple[str, ...]]:
        """A row for each text from the worker, and what it did not scan."""
        loaded = self._loaded.get(name)
        if self._inference is None or loaded is None:
            raise GuardUnavailable("the detector is not loaded")
        left = max(run.expires_at - run.now(), 0)
        begun = run.side is Stage.OUTPUT
        scored = await self._inference.score(name, texts, timeout_seconds=left, begun=begun)
        if scored.version != loaded.version:
            # A worker that was started anew may have loaded another model, with other labels.
            await self._learn(self._inference, max(run.expires_at - run.now(), 0))
            loaded = self._loaded.get(name, loaded)
            if scored.version != loaded.version:
                raise GuardUnavailable("the detector has changed")
        rows = [
            [
                Detection(label, score, 0, *(span or (None, None)))
                for label, score, span in zip(loaded.labels, scores, spans, strict=True)
            ]
            for scores, spans in zip(scored.scores, scored.spans, strict=True)
        ]
        return rows, tuple(scored.uncovered)

    def _version(self, name: str) -> str:
        detector = self._askers.get(name) or self._loaded.get(name)
        return "" if detector is None else detector.version


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
        question: str,
        scanned: Counter[str],
    ) -> None:
        self.side, self.question, self.scanned = side, question, scanned
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
                    self.scanned[name] += end - start
                    for hit in finder.find(reading.text[start:end], before=last - start):
                        if hit.start is None or hit.end is None:
                            found.append(_at(hit, number, None))
                        elif first <= start + hit.start < last:
                            span = reading.to_original(start + hit.start, start + hit.end)
                            found.append(_at(hit, number, span))
                for begin, finish, said in reading.extra:
                    await self._breathe()
                    self.scanned[name] += len(said)
                    found += [_at(hit, number, (begin, finish)) for hit in finder.find(said)]
        except Exception as error:
            logger.error("%s failed: %s", name, fault_of(error))
            return self.failed(name, finder.version, started, type(error).__name__)
        detections = (*found, *self._absent(finder.labels, found))
        seconds = self.now() - started
        return Check(name, finder.version, self.side, detections=detections, seconds=seconds)

    @functools.cached_property
    def places(self) -> Places:
        """Every distinct text that a model reads, encoded ones too, and where it stands."""
        places: Places = {}
        for number, reading in enumerate(self._readings):
            places.setdefault(reading.text, []).append((number, None))
            for start, end, said in reading.extra:
                places.setdefault(said, []).append((number, (start, end)))
        return places

    def some_places(self, numbers: Sequence[int]) -> Places:
        """The texts with these numbers, in their order."""
        texts = list(self.places)
        return {texts[number]: self.places[texts[number]] for number in numbers}

    async def highest(
        self, places: Places, rows: Sequence[Row], *, every_span: bool
    ) -> tuple[Detection, ...]:
        """The highest score of each label on each stage, role and choice; with `every_span`, each
        place that was found besides.
        """
        best: dict[tuple[Where, str], Detection] = {}
        found: list[Detection] = []
        for standing, row in zip(places.values(), rows, strict=True):
            await self._breathe()
            for number, encoded in standing:
                where = self._wheres[number]
                for hit in row:
                    held = best.get((where, hit.label))
                    higher = held is None or hit.score > held.score
                    if higher or (every_span and hit.start is not None):
                        placed = self._placed(hit, number, encoded)
                        if higher:
                            best[where, hit.label] = placed
                        if every_span and placed.start is not None:
                            found.append(placed)
        return tuple(dict.fromkeys((*best.values(), *found)))

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

    def _placed(self, hit: Detection, number: int, encoded: Span | None) -> Detection:
        """A detection in a reading as one in its segment; what was encoded is at its code."""
        span = encoded
        if span is None and hit.start is not None and hit.end is not None:
            span = self._readings[number].to_original(hit.start, hit.end)
        return _at(hit, number, span)

    async def _breathe(self) -> None:
        if self.now() - self._held_since > _HELD_SECONDS:
            await asyncio.sleep(0)
            self._held_since = self.now()


def _at(hit: Detection, number: int, span: Span | None) -> Detection:
    start, end = span or (None, None)
    return Detection(hit.label, hit.score, number, start, end, hit.evidence)
