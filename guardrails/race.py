"""May the model be asked while its request is still checked?"""

from __future__ import annotations

from msgspec import Struct

from guardrails import seams
from guardrails.checks import Checker
from guardrails.policy.decide import Ruling
from guardrails.types import Action, Check, Exchange, Stage


class Known(Struct, frozen=True):
    """What is known before the model may be asked: the checks that take no time, and the answer."""

    race: bool
    checks: tuple[Check, ...] = ()


NOTHING_KNOWN = Known(race=False)


async def at_once(
    exchange: Exchange, ruling: Ruling, checker: Checker, needed: frozenset[str], seconds: float
) -> Known:
    """What finders say of a request, and whether the other detectors that it needs may race.

    Finders are asked first, for they take no time: what they block or cut out is never sent. A
    model's rule that cuts out would change the prompt, so nothing races with it.
    """
    finders = checker.finders(needed)
    slow = needed - finders
    stages = frozenset(segment.stage for segment in exchange.inputs)
    cuts = any(
        rule.action is Action.REDACT and rule.detector in slow
        for rule in ruling.withholding(exchange.route, exchange.caller, stages)
    )
    if not slow or cuts:
        return NOTHING_KNOWN
    checks = await seams.measure(checker, finders, exchange.inputs, timeout_seconds=seconds)
    later = tuple(Check(name, "", Stage.INPUT, skipped="not yet") for name in slow)
    verdict = ruling.decide(
        checks + later,
        exchange.inputs,
        side=Stage.INPUT,
        route=exchange.route,
        caller=exchange.caller,
    )
    return Known(verdict.action not in (Action.REDACT, Action.BLOCK), checks)
