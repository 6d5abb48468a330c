"""Made-up facts: told in one way, asked for in another."""

import random

from guardrails.training.made_up_facts import generated


def test_generated_facts_are_told_and_then_asked() -> None:
    pairs = list(generated(random.Random(2), 200))
    assert {pair.supported for pair in pairs} == {True, False}
    assert not [pair for pair in pairs if "{" in pair.claim + "".join(pair.passages)]
