from __future__ import annotations

from guardrails.moderation import together
from guardrails.types import Action, Detection, Stage, Verdict
from tests.factories import make_check, make_exchange, make_reason


def test_each_check_and_reason_names_the_segment_that_it_saw() -> None:
    whole = make_exchange("one", None)
    each = [
        make_exchange(text, None, checks=(make_check(score=score),), verdict=verdict)
        for text, score, verdict in (
            ("one", 0.1, Verdict()),
            ("two", 0.9, Verdict(Action.BLOCK, (make_reason(),))),
        )
    ]
    made = together(whole, each)
    assert [check.detections for check in made.checks] == [
        (Detection("insult", 0.1, 0),),
        (Detection("insult", 0.9, 1),),
    ]
    assert made.verdict.action is Action.BLOCK
    assert [reason.segment for reason in made.verdict.reasons] == [1]
    assert made.checks[0].side is Stage.INPUT
