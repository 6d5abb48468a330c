"""Whether a request may race: what finders see is known before."""

from __future__ import annotations

import pytest

from guardrails.checks import Checker
from guardrails.detectors import create
from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy, Rule
from guardrails.race import NOTHING_KNOWN, at_once
from guardrails.types import Segment, Stage
from tests.factories import make_exchange

PATTERNS = create("patterns", {"words": {"forbidden": ["xyzzy"]}})


def rule(**changes):
    fields = {
        "id": "r", "detector": "patterns", "label": "forbidden", "stage": ["input"],
        "threshold": 0.5, "action": "block", "on_error": "block",
    }  # fmt: skip
    return Rule(**{**fields, **changes})


SLOW = rule(id="slow", detector="model", label="harm")


@pytest.mark.parametrize(
    ("rules", "text", "race"),
    [
        ((SLOW,), "fine", True),
        ((rule(), SLOW), "fine", True),
        ((rule(), SLOW), "xyzzy", False),
        ((rule(action="redact"), SLOW), "fine", True),
        ((rule(action="redact"), SLOW), "xyzzy", False),
        ((rule(action="flag", on_error="flag"), SLOW), "xyzzy", True),
        ((rule(mode="shadow"), SLOW), "xyzzy", True),
        # A finder that has no score for its rule fails closed, so nothing is sent.
        ((rule(label="unknown"), SLOW), "fine", False),
    ],
)
async def test_what_finders_withhold_is_never_sent_ahead(rules, text, race):
    known = await known_of(rules, text)
    assert known.race is race
    finders = {r.detector for r in rules} - {"model"}
    assert {check.detector for check in known.checks} == finders


@pytest.mark.parametrize(
    "rules", [(rule(),), (SLOW, rule(id="cut", detector="model", label="harm", action="redact"))]
)
async def test_without_a_slow_rule_or_with_one_that_changes_the_prompt_there_is_no_race(rules):
    assert await known_of(rules, "fine") == NOTHING_KNOWN


async def known_of(rules, text):
    ruling = Ruling(Policy(name="p", rules=rules))
    said = Segment(Stage.INPUT, "user", 0, ("messages", 0, "content"), text)
    exchange = make_exchange().evolve(inputs=(said,))
    needed = ruling.detectors(exchange.route, exchange.caller, exchange.inputs)
    return await at_once(exchange, ruling, Checker({"patterns": PATTERNS}, None), needed, 5.0)
