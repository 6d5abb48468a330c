"""How is an answer measured, so that it comes to the same whether it streams or comes whole?

Finders read on from what has not left yet; scorers read the pieces that a text is cut into
(`text/clauses.py`), each with the piece before it, and longer ends now and then. A whole answer is
cut into the same pieces that a stream of it would have had, so both have the same highest scores
and the same spans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from guardrails.checks import Checker
from guardrails.errors import GuardUnavailable
from guardrails.grounding import cite
from guardrails.policy.decide import Ruling, only_unchecked
from guardrails.seams import prefill
from guardrails.streams.guard import Hold, Look, Looked, StreamGuard
from guardrails.streams.lanes import Slice, goes_on
from guardrails.text.clauses import pieces
from guardrails.text.unfinished import unfinished_from
from guardrails.types import Action, Check, Detection, Exchange, Reason, Segment, Stage, Verdict

STAGES = frozenset({Stage.OUTPUT, Stage.TOOL_CALL})
UNCHECKED = "A required check could not run, so nothing was let through. Try again."


class OutputCheck:
    """Measures answers for the pipeline, and says how a stream of one is to be held.

    `always` names the detectors that a route needs besides those of its rules.
    """

    def __init__(
        self, checker: Checker, always: Callable[[Exchange], frozenset[str]], seconds: float
    ) -> None:
        self._checker = checker
        self._always = always
        self._seconds = seconds

    def hold(self, exchange: Exchange, ruling: Ruling, *, hidden: bool = False) -> Hold:
        """How long a stream must be held: as long as its strictest rule asks.

        Where values are `hidden`, at least until their placeholders are whole.
        """
        rules = ruling.withholding(exchange.route, exchange.caller, STAGES)
        if not exchange.passages:
            rules = [rule for rule in rules if rule.detector != cite.DETECTOR]
        if not rules:
            return Hold.PIECES if hidden else Hold.NOTHING
        finders = self._checker.finders({rule.detector for rule in rules})
        # A sentence is held against the passages whole, and a score has no span to cut out.
        whole = any(
            rule.detector == cite.DETECTOR
            or (rule.action is Action.REDACT and rule.detector not in finders)
            for rule in rules
        )
        return Hold.WHOLE if whole else Hold.PIECES

    def live_from(self, exchange: Exchange, ruling: Ruling) -> Callable[[str], int]:
        """Says from where on a text may still grow into something that a rule withholds."""
        rules = ruling.withholding(exchange.route, exchange.caller, STAGES)
        finders = self._checker.finders({rule.detector for rule in rules})
        labels = {
            name: frozenset(rule.label for rule in rules if rule.detector == name)
            for name in finders
        }

        def live_from(text: str) -> int:
            return min(self._checker.live_from(labels, text), unfinished_from(text))

        return live_from if finders else len

    def looker(self, exchange: Exchange, ruling: Ruling) -> Look:
        """Checks the pieces of one stream as they come.

        Errors: GuardUnavailable when a rule that fails closed could not be checked.
        """
        route, caller = exchange.route, exchange.caller

        async def look(
            segments: Sequence[Segment], finders: Sequence[Slice], scorers: Sequence[Slice]
        ) -> Looked:
            # The rules are held against the texts that have something new, under their own numbers.
            numbers = sorted({part.number for part in (*finders, *scorers)})
            new = [segments[number] for number in numbers]
            needed = ruling.detectors(route, caller, new)
            checks = await measure(
                self._checker,
                (needed | self._always(exchange)) - {cite.DETECTOR},
                segments,
                finders,
                scorers,
                timeout_seconds=self._seconds,
                question=exchange.question,
            )
            local = renumbered(checks, {number: n for n, number in enumerate(numbers)})
            if cite.DETECTOR in needed:
                later = Check(cite.DETECTOR, "", Stage.OUTPUT, skipped="measured at the end")
                local = (*local, later)
            verdict = ruling.decide(local, new, side=Stage.OUTPUT, route=route, caller=caller)
            if only_unchecked(verdict):
                raise GuardUnavailable(UNCHECKED, retry_after_seconds=1)
            return Looked(checks, _named(verdict, numbers))

        return look

    async def run(
        self, exchange: Exchange, ruling: Ruling, stream: StreamGuard | None
    ) -> tuple[Check, ...]:
        """The checks of a whole answer; of a stream those that its pieces had already."""
        segments = exchange.outputs
        needed = ruling.detectors(exchange.route, exchange.caller, segments)
        if stream is not None and stream.hold is Hold.PIECES:
            checks = merged(renumbered(stream.checks, _numbers(stream.segments, segments)))
        else:
            detectors = needed | self._always(exchange) if segments else needed
            detectors -= {cite.DETECTOR}
            checks = await measure(
                self._checker,
                detectors,
                segments,
                *slices_of(
                    segments,
                    prefill(exchange.inputs),
                    scored=not detectors <= self._checker.finders(detectors),
                ),
                timeout_seconds=self._seconds,
                question=exchange.question,
            )
        if cite.DETECTOR not in needed:
            return checks
        if not exchange.passages:
            return (*checks, Check(cite.DETECTOR, "", Stage.OUTPUT, skipped="no passages"))
        seconds = exchange.seconds["cite"]
        return (
            *checks,
            cite.groundedness_check(
                segments, exchange.passages, exchange.citations, seconds=seconds
            ),
        )


def slices_of(
    segments: Sequence[Segment], prefill: str = "", *, scored: bool = True
) -> tuple[list[Slice], list[Slice]]:
    """Whole texts as a finder reads them, and as a scorer does; with the `prefill` before them.

    Where nothing is `scored`, a scorer's pieces need not be found.
    """
    finders, scorers = [], []
    for number, segment in enumerate(segments):
        begun = prefill if goes_on(segment) else ""
        text, before = begun + segment.text, len(begun)
        finders.append(Slice(number, -before, len(segment.text), text))
        if scored:
            scorers += [
                Slice(number, start, end, text[before + start : before + end])
                for start, end in pieces(segment.text, before)
            ]
    return finders, scorers


async def measure(
    checker: Checker,
    detectors: Collection[str],
    segments: Sequence[Segment],
    finders: Sequence[Slice],
    scorers: Sequence[Slice],
    *,
    timeout_seconds: float,
    question: str = "",
) -> tuple[Check, ...]:
    """Run every detector on its slices; detections are of the texts that the slices are cut from.

    A check holds every label's highest score on each text, and every span that a finder found.
    """
    finding = checker.finders(detectors)
    runs = [
        (names, given)
        for names, given in ((finding, finders), (set(detectors) - finding, scorers))
        if names and given
    ]
    going = [
        checker.run(
            names,
            _given(segments, given),
            Stage.OUTPUT,
            timeout_seconds=timeout_seconds,
            question=question,
        )
        for names, given in runs
    ]
    # A task costs more than a finder's run, so there is none where nothing else is to be awaited.
    found = [await going[0]] if len(going) == 1 else await asyncio.gather(*going)
    return tuple(
        _placed(check, given)
        for checks, (_, given) in zip(found, runs, strict=True)
        for check in checks
    )


def merged(checks: Iterable[Check]) -> tuple[Check, ...]:
    """One check a detector from those of all pieces.

    A detector that failed on one piece has failed: what it did not read is not known to be safe.
    """
    by_detector: dict[str, list[Check]] = {}
    for check in checks:
        by_detector.setdefault(check.detector, []).append(check)
    return tuple(_merged(parts) for _, parts in sorted(by_detector.items()))


def renumbered(checks: Iterable[Check], numbers: Mapping[int, int]) -> tuple[Check, ...]:
    """The checks with the texts under other numbers; detections of a text without one go."""
    return tuple(
        _with(
            check,
            tuple(
                msgspec.structs.replace(hit, segment=numbers[hit.segment])
                for hit in check.detections
                if hit.segment in numbers
            ),
        )
        for check in checks
    )


def _numbers(lanes: Sequence[Segment], segments: Sequence[Segment]) -> dict[int, int]:
    """Which segment of the whole answer each lane of its stream became."""
    places = {segment.pointer: number for number, segment in enumerate(segments)}
    return {n: places[lane.pointer] for n, lane in enumerate(lanes) if lane.pointer in places}


def _named(verdict: Verdict, numbers: Sequence[int]) -> Verdict:
    def of(reason: Reason) -> Reason:
        if reason.segment is None:
            return reason
        return msgspec.structs.replace(reason, segment=numbers[reason.segment])

    return Verdict(verdict.action, tuple(map(of, verdict.reasons)))


def _with(check: Check, detections: tuple[Detection, ...]) -> Check:
    return msgspec.structs.replace(check, detections=detections)


def _merged(parts: Sequence[Check]) -> Check:
    highest: dict[tuple[int, str], Detection] = {}
    spans: dict[tuple[object, ...], Detection] = {}
    for part in parts:
        for hit in part.detections:
            if hit.evidence is not None:
                spans[hit.label, hit.segment, hit.start, hit.end, hit.evidence] = hit
            held = highest.get((hit.segment, hit.label))
            if held is None or hit.score > held.score:
                highest[hit.segment, hit.label] = hit
    scores = [hit for hit in highest.values() if hit.evidence is None]
    return Check(
        parts[-1].detector,
        parts[-1].version,
        parts[-1].side,
        detections=(*spans.values(), *scores),
        seconds=sum(part.seconds for part in parts),
        error=next((part.error for part in parts if part.error is not None), None),
        uncovered=tuple(dict.fromkeys(note for part in parts for note in part.uncovered)),
    )


def _given(segments: Sequence[Segment], slices: Sequence[Slice]) -> list[Segment]:
    # Under its text's number a piece is scored together with the others of the same text.
    return [
        Segment(
            segments[part.number].stage,
            segments[part.number].role,
            part.number,
            segments[part.number].pointer,
            part.text,
        )
        for part in slices
    ]


def _placed(check: Check, slices: Sequence[Slice]) -> Check:
    detections = []
    for hit in check.detections:
        part = slices[hit.segment]
        if hit.start is None or hit.end is None:
            detections.append(Detection(hit.label, hit.score, part.number, evidence=hit.evidence))
        elif part.start + hit.end > 0:
            span = max(part.start + hit.start, 0), part.start + hit.end
            detections.append(Detection(hit.label, hit.score, part.number, *span, hit.evidence))
        else:
            # It lies in what the caller gave, before the answer begins.
            detections.append(Detection(hit.label, 0.0, part.number))
    return _with(check, tuple(detections))
