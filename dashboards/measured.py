"""What the checks measured, beside the thresholds of the rules that looked at the same text."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dashboards.highlight import Span
from guardrails.exchange_log.rows import ExchangeRow
from guardrails.policy.model import Policy, Rule
from guardrails.types import Check, Detection, Reason, Segment

MAX_SCORES = 60
MAX_SPANS = 200

Sides = dict[str, list[Segment]]
"""The texts of `input` and of `output`, as the checks numbered them."""


class Score(Struct, frozen=True):
    """One label on one text, and the rule that it was held against."""

    label: str
    score: float
    where: str
    threshold: float | None
    rule: str | None
    found: str | None


class Measured(Struct, frozen=True):
    """One run of one detector."""

    detector: str
    version: str
    side: str
    seconds: float
    error: str | None
    skipped: str | None
    scores: tuple[Score, ...]
    left_out: int


def marked_spans(
    checks: Sequence[Check],
    reasons: Sequence[Reason],
    sides: Sides,
    rules: Sequence[Rule],
) -> dict[str, dict[int, list[Span]]]:
    """What is marked in the texts: what a rule fired on, and what a detector names as found.

    A classifier names its best window for harmless texts too; such a place is no find.
    """
    marked: dict[str, dict[int, list[Span]]] = {side: {} for side in sides}
    left = MAX_SPANS

    def mark(
        side: str, segment: int | None, start: int | None, end: int | None, label: str
    ) -> None:
        nonlocal left
        if segment is not None and start is not None and end is not None and left > 0:
            left -= 1
            marked[side].setdefault(segment, []).append(Span(start, end, label))

    for reason in reasons:
        mark(reason.side.value, reason.segment, reason.start, reason.end, reason.label)
    for check in checks:
        for detection in check.detections:
            rule = _rule_of(check, detection, sides[check.side.value], rules)
            over = rule is not None and detection.score >= rule.threshold
            if over or detection.evidence is not None:
                mark(
                    check.side.value,
                    detection.segment,
                    detection.start,
                    detection.end,
                    detection.label,
                )
    return marked


def rules_for(policy: Policy, row: ExchangeRow) -> list[Rule]:
    """The rules that held for this caller on this route."""
    return [
        rule
        for rule in policy.rules
        if (rule.routes is None or row.route in rule.routes)
        and (rule.tenants is None or row.tenant in rule.tenants)
        and (rule.keys is None or row.key_id in rule.keys)
    ]


def _rule_of(
    check: Check, detection: Detection, segments: Sequence[Segment], rules: Sequence[Rule]
) -> Rule | None:
    """The rule with the lowest threshold among those that look at this label in this text."""
    if detection.segment >= len(segments):
        return None
    segment = segments[detection.segment]
    asking = [
        rule
        for rule in rules
        if rule.detector == check.detector
        and rule.label == detection.label
        and segment.stage in rule.stage
        and (rule.roles is None or segment.role in rule.roles)
    ]
    return min(asking, key=lambda rule: rule.threshold, default=None)


def measured_checks(
    checks: Sequence[Check], sides: Sides, rules: Sequence[Rule]
) -> tuple[Measured, ...]:
    """Each check with its scores, highest first; at most MAX_SCORES of all together."""
    left = MAX_SCORES
    measured = []
    for check in checks:
        segments = sides[check.side.value]
        ordered = sorted(check.detections, key=lambda one: -one.score)
        shown = ordered[:left]
        left -= len(shown)
        scores = []
        for one in shown:
            rule = _rule_of(check, one, segments, rules)
            scores.append(
                Score(
                    one.label,
                    one.score,
                    _where(one.segment, segments),
                    None if rule is None else rule.threshold,
                    None if rule is None else rule.id,
                    one.evidence,
                )
            )
        measured.append(
            Measured(
                check.detector,
                check.version,
                check.side.value,
                check.seconds,
                check.error,
                check.skipped,
                tuple(scores),
                len(ordered) - len(shown),
            )
        )
    return tuple(measured)


def _where(number: int, segments: Sequence[Segment]) -> str:
    if number >= len(segments):
        return f"text {number + 1}"
    return f"{role_of(segments[number])}, text {number + 1}"


def role_of(segment: Segment) -> str:
    """Who says a text; what a tool is called with or answers is named as such."""
    tools = {"tool_call": "tool call", "tool_result": "tool result"}
    return tools.get(segment.stage.value, segment.role)
