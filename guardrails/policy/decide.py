"""Scores in, verdict out: the one place where a score meets a threshold."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

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

Kind = tuple[Stage, str]
"""A text's stage and role: all that a rule asks of where it stands."""


class Ruling:
    """One policy, made ready to decide: which rules are at stake for whom, where, for what.

    Cost: the rules at stake are looked up, not searched, so a decision is linear in them and in
    the detections, whatever the number of texts.
    """

    def __init__(self, policy: Policy, shadow: Policy | None = None) -> None:
        """A second policy in `shadow` is only recorded, its rules as `name@version:id`."""
        self.policy = policy
        self.label = policy.label
        self._rules = policy.rules
        if shadow is not None:
            self._rules += tuple(
                rule.model_copy(update={"id": f"{shadow.label}:{rule.id}", "mode": "shadow"})
                for rule in shadow.rules
            )
        self._at_stake: dict[tuple[str, Caller, frozenset[Kind]], AtStake] = {}

    def detectors(self, route: str, caller: Caller, segments: Sequence[Segment]) -> frozenset[str]:
        """Which detectors must look at these texts."""
        return self._look_up(route, caller, segments).detectors

    @functools.cached_property
    def restoring(self) -> frozenset[str]:
        """The rules whose redactions come back in the answer."""
        return frozenset(rule.id for rule in self.policy.rules if rule.restore)

    @functools.cached_property
    def notices(self) -> frozenset[str]:
        """Every text that a withheld caller may have been told."""
        own = (rule.message for rule in self.policy.rules if rule.message)
        return frozenset((self.policy.blocked_message, *own))

    def notice(self, verdict: Verdict) -> str:
        """What the caller is told: the message of the first rule that blocked, or the policy's."""
        blocking = {r.rule for r in verdict.reasons if r.action is Action.BLOCK and not r.shadow}
        own = (rule.message for rule in self.policy.rules if rule.id in blocking and rule.message)
        return next(own, self.policy.blocked_message)

    def withholding(self, route: str, caller: Caller, stages: frozenset[Stage]) -> list[Rule]:
        """The rules on these stages for which a text may have to be withheld or changed."""
        return [
            rule
            for rule in self._rules
            if holds(rule, route, caller)
            and rule.mode == "enforce"
            and not stages.isdisjoint(rule.stage)
            and (rule.action is not Action.FLAG or rule.on_error is Action.BLOCK)
        ]

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
        found: dict[tuple[str, str], list[Detection]] = {}
        for check in checks:
            for detection in check.detections:
                found.setdefault((check.detector, detection.label), []).append(detection)
        reasons: list[Reason] = []
        for rule, kinds in self._look_up(route, caller, segments).rules:
            check_of_rule = by_detector.get(rule.detector)
            if check_of_rule is None:
                reasons.append(_unchecked(rule, side, "the check did not run"))
            elif check_of_rule.error is not None:
                reasons.append(_unchecked(rule, side, check_of_rule.error))
            elif check_of_rule.skipped is None:
                seen = [
                    detection
                    for detection in found.get((rule.detector, rule.label), ())
                    if kind_of(segments[detection.segment]) in kinds
                ]
                reasons += _apply(rule, side, seen, segments)
        action = strictest(reason.action for reason in reasons if not reason.shadow)
        return Verdict(action, tuple(reasons))

    def _look_up(self, route: str, caller: Caller, segments: Sequence[Segment]) -> AtStake:
        kinds = frozenset([(segment.stage, segment.role) for segment in segments])
        scope = (route, caller, kinds)
        at_stake = self._at_stake.get(scope)
        if at_stake is None:
            if len(self._at_stake) >= _MOST_SCOPES:
                self._at_stake.clear()
            at_stake = self._at_stake[scope] = AtStake(
                (rule, frozenset(kind for kind in kinds if covers(rule, kind)))
                for rule in self._rules
                if holds(rule, route, caller)
            )
        return at_stake


def only_unchecked(verdict: Verdict) -> bool:
    """Whether nothing was found that blocks, but a rule that fails closed could not be checked."""
    return verdict.action is Action.BLOCK and not any(
        reason.action is Action.BLOCK and reason.error is None and not reason.shadow
        for reason in verdict.reasons
    )


class AtStake:
    """The rules that some texts are held against, each with the kinds of text it looks at."""

    __slots__ = ("detectors", "rules")

    def __init__(self, rules: Iterable[tuple[Rule, frozenset[Kind]]]) -> None:
        self.rules = tuple((rule, kinds) for rule, kinds in rules if kinds)
        self.detectors = frozenset(rule.detector for rule, _ in self.rules)


def holds(rule: Rule, route: str, caller: Caller) -> bool:
    """Whether a rule is for these callers of this route."""
    return (
        (rule.routes is None or route in rule.routes)
        and (rule.tenants is None or caller.tenant in rule.tenants)
        and (rule.keys is None or caller.key_id in rule.keys)
    )


def kind_of(segment: Segment) -> Kind:
    """What a rule asks of where a text stands."""
    return segment.stage, segment.role


def covers(rule: Rule, kind: Kind) -> bool:
    """Whether a rule looks at texts of this kind."""
    stage, role = kind
    return stage in rule.stage and (rule.roles is None or role in rule.roles)


def _apply(
    rule: Rule, side: Stage, seen: Sequence[Detection], segments: Sequence[Segment]
) -> list[Reason]:
    if not seen:
        return [_unchecked(rule, side, f"no score for {rule.label}")]
    fired = [detection for detection in seen if detection.score >= rule.threshold]
    if rule.action is not Action.REDACT:
        # A redacting rule needs each span, for each is cut out of its text. Others need the worst:
        # of the request, or of each choice of an answer, for each choice is withheld by itself.
        worst: dict[int, Detection] = {}
        for detection in sorted(fired, key=lambda detection: detection.score):
            choice = segments[detection.segment].index if side is Stage.OUTPUT else 0
            worst[choice] = detection
        fired = list(worst.values())
    return [_reason(rule, side, detection) for detection in fired]


def _reason(rule: Rule, side: Stage, detection: Detection) -> Reason:
    # A score is of its whole text, so all of that is redacted; only a finder knows the span.
    whole = rule.action is Action.REDACT and detection.evidence is None
    return Reason(
        rule=rule.id,
        detector=rule.detector,
        label=rule.label,
        action=_acted(rule, rule.action),
        advised=_advised(rule, rule.action),
        side=side,
        threshold=rule.threshold,
        score=detection.score,
        segment=detection.segment,
        start=None if whole else detection.start,
        end=None if whole else detection.end,
        shadow=rule.mode == "shadow",
    )


def _acted(rule: Rule, asked: Action) -> Action:
    """What a rule does: one that only advises never withholds or changes anything."""
    return Action.FLAG if _advised(rule, asked) is not None else asked


def _advised(rule: Rule, asked: Action) -> Action | None:
    return asked if rule.mode == "advise" and asked.rank > Action.FLAG.rank else None


def _unchecked(rule: Rule, side: Stage, error: str) -> Reason:
    return Reason(
        rule=rule.id,
        detector=rule.detector,
        label=rule.label,
        action=_acted(rule, rule.on_error),
        advised=_advised(rule, rule.on_error),
        side=side,
        threshold=rule.threshold,
        shadow=rule.mode == "shadow",
        error=error,
    )
