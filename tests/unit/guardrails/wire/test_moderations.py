"""Moderations in OpenAI's shape, from our own scores."""

import pytest

from guardrails.errors import BadRequest
from guardrails.types import Action, Verdict
from guardrails.wire import moderations
from tests.factories import make_check, make_exchange, make_reason


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ([{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {}}], ["one"]),
    ],
)
def test_every_text_is_moderated(given, found):
    moderations.check_request({"input": given}, most_messages=9)
    assert [segment.text for segment in moderations.inputs({"input": given})[0]] == found


@pytest.mark.parametrize("given", [None, [], 3, [1, 2], [["x"]]])
def test_what_is_not_text_is_refused(given):
    with pytest.raises(BadRequest):
        moderations.check_request({"input": given}, most_messages=9)


def test_a_category_that_nobody_measures_is_null_not_false():
    insult = make_exchange(
        reply=None,
        checks=(make_check("insult", 0.93),),
        verdict=Verdict(Action.BLOCK, (make_reason(),)),
    )
    fine = make_exchange(reply=None, checks=(make_check("insult", 0.02),))
    bad, good = moderations.answer(insult, [insult, fine])["results"]
    assert bad["flagged"] is True
    assert bad["categories"]["harassment"] is True
    assert bad["category_scores"]["harassment"] == 0.93
    assert bad["category_scores"]["insult"] == 0.93
    assert bad["categories"]["self-harm"] is None
    assert bad["category_scores"]["self-harm"] is None
    assert good["flagged"] is False
    assert good["categories"]["harassment"] is False


def test_a_detector_that_could_not_run_is_named():
    exchange = make_exchange(reply=None, checks=(make_check(error="late", detections=()),))
    (result,) = moderations.answer(exchange, [exchange])["results"]
    assert result["error"] == {"detectors": ["toxicity"]}


def test_a_cascades_second_look_counts_more_than_its_first():
    exchange = make_exchange(
        reply=None,
        checks=(
            make_check("toxicity", 0.7, detector="compact"),
            make_check("unsafe", 0.1, detector="careful/llama-guard"),
            make_check("toxicity", 0.1, detector="careful"),
        ),
    )
    (result,) = moderations.answer(exchange, [exchange])["results"]
    assert result["category_scores"]["toxicity"] == 0.1
    acted_on = make_reason(label="toxicity", detector="compact", score=0.7)
    exchange = exchange.evolve(verdict=Verdict(Action.BLOCK, (acted_on,)))
    (result,) = moderations.answer(exchange, [exchange])["results"]
    assert result["category_scores"]["toxicity"] == 0.7
