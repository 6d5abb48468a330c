"""What would a policy decide about one logged exchange, from what was measured on it then?

Detectors are not run again: every label's score was recorded, so any threshold can be tried. What
was not measured then cannot be decided now, and is said to be so.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from guardrails.policy.decide import Ruling, covers, holds, kind_of
from guardrails.policy.model import Rule
from guardrails.types import Action, Reason, Stage, strictest
from monitoring.replay.records import Recorded

SIDES = (Stage.INPUT, Stage.OUTPUT)
UNREADABLE = "its texts, which were erased or are locked"


class Change(StrEnum):
    """What the other policy makes of an exchange, beside what became of it."""

    SAME = "same"
    NEWLY_BLOCKED = "newly blocked"
    NEWLY_PASSED = "newly passed"
    STRICTER = "stricter, not blocked"
    MILDER = "milder, not blocked"
    UNDECIDED = "undecided"


class Redecided(Struct, frozen=True):
    """An exchange under the other policy.

    `rules` fired and count. `unmeasured` names each `detector/label` that was not measured then and
    could have made the decision stricter: where there is any, `change` is UNDECIDED. `unanswered`:
    it was withheld before the model was asked, so the rules on answers had nothing to look at.
    """

    change: Change
    action: Action
    rules: tuple[str, ...]
    unmeasured: tuple[str, ...]
    unanswered: bool = False


def redecide(recorded: Recorded, ruling: Ruling) -> Redecided:
    """Hold what was measured against another policy's rules."""
    if not recorded.readable:
        return Redecided(Change.UNDECIDED, recorded.decision, (), (UNREADABLE,))
    rules = {rule.id: rule for rule in ruling.policy.rules}
    acting: list[Reason] = []
    unmeasured: dict[str, Action] = {}
    for side in SIDES:
        segments, checks = recorded.side(side)
        failed = {check.detector for check in checks if check.error is not None}
        verdict = ruling.decide(
            checks, segments, side=side, route=recorded.route, caller=recorded.caller
        )
        for reason in verdict.reasons:
            if reason.shadow:
                continue
            if reason.error is None or reason.detector in failed:
                acting.append(reason)
                continue
            # It would have been measured, and might have fired or not.
            name, rule = f"{reason.detector}/{reason.label}", rules[reason.rule]
            might = Action.FLAG if rule.mode == "advise" else rule.action
            unmeasured[name] = strictest((might, unmeasured.get(name, Action.ALLOW)))
        if strictest(reason.action for reason in acting) is Action.BLOCK:
            # What is withheld goes no further: an answer to it would not have been made.
            break
    action = strictest(reason.action for reason in acting)
    open_ = tuple(name for name, might in unmeasured.items() if might.rank > action.rank)
    unanswered = recorded.decision is Action.BLOCK and not recorded.outputs
    return Redecided(
        change=Change.UNDECIDED if open_ else _change(recorded.decision, action),
        action=action,
        rules=tuple(dict.fromkeys(reason.rule for reason in acting)),
        unmeasured=open_,
        unanswered=unanswered and action is not Action.BLOCK,
    )


def _change(before: Action, after: Action) -> Change:
    if before is after:
        return Change.SAME
    if after is Action.BLOCK:
        return Change.NEWLY_BLOCKED
    if before is Action.BLOCK:
        return Change.NEWLY_PASSED
    return Change.STRICTER if after.rank > before.rank else Change.MILDER


def worst(recorded: Recorded, rule: Rule) -> float | None:
    """The highest score that a rule looked at, from 0 to 1; None where it looked at none.

    The rule fires exactly where this is its threshold or more.
    """
    if not recorded.readable or not holds(rule, recorded.route, recorded.caller):
        return None
    places = {side: recorded.side(side)[0] for side in SIDES}
    return max(
        (
            detection.score
            for check in recorded.checks
            if check.detector == rule.detector
            for detection in check.detections
            if detection.label == rule.label
            and covers(rule, kind_of(places[check.side][detection.segment]))
        ),
        default=None,
    )
