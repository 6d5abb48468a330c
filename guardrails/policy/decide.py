"""Scores in, verdict out: the one place where a score meets a threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guardrails.policy.model import Policy, Rule
from guardrails.types import (
    Action,
    Caller,
    Check,
    Detection,
    Reason,
    Segment,
    Stage,
    Verdict,
    strictest,
)

_MOST_SCOPES = 10_000


class Ruling:
    """One policy, made ready to decide: its rules by who asks and by which route."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.label = policy.label
        self._in_force: dict[tuple[str, Caller], tuple[Rule, ...]] = {}

    def rules(self, route: str, caller: Caller) -> tuple[Rule, ...]:
        """The rules that hold for this caller on this route."""
        scope = (route, caller)
        rules = self._in_force.get(scope)
        if rules is None:
            if len(self._in_force) >= _MOST_SCOPES:
                self._in_force.clear()
            rules = tuple(rule for rule in self.policy.rules if _holds(rule, route, caller))
            self._in_force[scope] = rules
        return rules

    def detectors(self, route: str, caller: Caller, segments: Sequence[Segment]) -> frozenset[str]:
        """Which detectors must look at these texts."""
        return frozenset(
            rule.detector
            for rule in self.rules(route, caller)
            if any(_covers(rule, segment) for segment in segments)
        )

    @property
    def notices(self) -> frozenset[str]:
        """Every text that a withheld caller may have been told."""
        own = (rule.message for rule in self.policy.rules if rule.message)
        return frozenset((self.policy.blocked_message, *own))

    def notice(self, verdict: Verdict) -> str:
        """What the caller is told: the message of the first rule that blocked, or the policy's."""
        blocking = {r.rule for r in verdict.reasons if r.action is Action.BLOCK and not r.shadow}
        own = (rule.message for rule in self.policy.rules if rule.id in blocking and rule.message)
        return next(own, self.policy.blocked_message)

    def guards(self, route: str, caller: Caller, stages: frozenset[Stage]) -> bool:
        """Whether any rule looks at one of these stages."""
        return any(not stages.isdisjoint(rule.stage) for rule in self.rules(route, caller))

    def decide(
        self,
        checks: Sequence[Check],
        segments: Sequence[Segment],
        *,
        side: Stage,
        route: str,
        caller: Caller,
    ) -> Verdict:
        """Hold the checks of one side of an exchange against the rules in force.

        A rule whose check is missing, failed or lacks the rule's label acts by its `on_error`:
        what could not be checked is never counted as safe.
        """
        by_detector = {check.detector: check for check in checks}
        reasons = tuple(
            reason
            for rule in self.rules(route, caller)
            for reason in _apply(rule, by_detector.get(rule.detector), segments, side)
        )
        action = strictest(reason.action for reason in reasons if not reason.shadow)
        return Verdict(action, reasons)


def _holds(rule: Rule, route: str, caller: Caller) -> bool:
    return (
        (rule.routes is None or route in rule.routes)
        and (rule.tenants is None or caller.tenant in rule.tenants)
        and (rule.keys is None or caller.key_id in rule.keys)
    )


def _covers(rule: Rule, segment: Segment) -> bool:
    return segment.stage in rule.stage and (rule.roles is None or segment.role in rule.roles)


def _apply(
    rule: Rule, check: Check | None, segments: Sequence[Segment], side: Stage
) -> Iterator[Reason]:
    covered = {i for i, segment in enumerate(segments) if _covers(rule, segment)}
    if not covered:
        return
    if check is not None and check.skipped is not None:
        return
    if check is None or check.error is not None:
        yield from _unchecked(rule, side, check.error if check else "the check did not run")
        return
    seen = [d for d in check.detections if d.label == rule.label and d.segment in covered]
    if not seen:
        yield from _unchecked(rule, side, f"no score for {rule.label}")
        return
    fired = [detection for detection in seen if detection.score >= rule.threshold]
    if not fired:
        return
    if rule.action is Action.REDACT:
        # Each span is a reason of its own, for each is cut out of its text.
        yield from (_reason(rule, side, detection) for detection in fired)
    else:
        yield _reason(rule, side, max(fired, key=lambda detection: detection.score))


def _reason(rule: Rule, side: Stage, detection: Detection) -> Reason:
    return Reason(
        rule=rule.id,
        detector=rule.detector,
        label=rule.label,
        action=rule.action,
        side=side,
        threshold=rule.threshold,
        score=detection.score,
        segment=detection.segment,
        start=detection.start,
        end=detection.end,
        shadow=rule.mode == "shadow",
    )


def _unchecked(rule: Rule, side: Stage, error: str) -> Iterator[Reason]:
    yield Reason(
        rule=rule.id,
        detector=rule.detector,
        label=rule.label,
        action=rule.on_error,
        side=side,
        threshold=rule.threshold,
        shadow=rule.mode == "shadow",
        error=error,
    )
