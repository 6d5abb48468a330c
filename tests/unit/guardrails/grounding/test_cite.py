"""Citations: which sentences are claims, where they stand, and what the policy and caller see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.grounding.cite import (
    CITED,
    DETECTOR,
    LABELS,
    annotations,
    cite,
    context_citations,
    groundedness_check,
    is_claim,
)
from guardrails.types import Passage, Segment, Stage

PASSAGES = (
    Passage(1, "p1", "d1", "Elbe", "elbe.md", "The Elbe ends in the North Sea at Cuxhaven.", 0.1),
    Passage(2, "p2", "d2", "Rhine", "rhine.md", "The Rhine passes Basel and Cologne.", 0.1),
)
ANSWER = (
    "Hello! The Elbe ends in the North Sea [1].  The Rhine passes Cologne. It has 9,000 islands."
    " Shall I go on?"
)


def segment(text: str, index: int = 0, pointer: str = "content") -> Segment:
    return Segment(Stage.OUTPUT, "assistant", index, ("choices", index, "message", pointer), text)


def test_each_claim_is_cited_with_its_place_and_passage() -> None:
    citations = cite(ANSWER, PASSAGES, choice=3)
    assert [(ANSWER[c.start : c.end], c.passage, c.choice) for c in citations] == [
        ("The Elbe ends in the North Sea [1].", 1, 3),
        ("The Rhine passes Cologne.", 2, 3),
        ("It has 9,000 islands.", None, 3),
    ]
    assert [c.support >= CITED for c in citations] == [True, True, False]


NO_CLAIMS = [
    "Hello!", "Good morning, dear!", "You're welcome.", "Sure, of course.", "Yes.", "Thank you.",
    "How can I help you today?", "Which river do you mean?", "I don't know.",
    "I do not know which river it is.", "I’m sorry, I can't answer that.", "Let me know!",
    "The passages do not mention the Elbe.", "I hope this helps.", "Here are the rivers:", "...",
    "I could not find anything about the Elbe in the documents.", "[1]", "## Overview", "",
    "Unfortunately, the documents do not say how long the Elbe is.",
]  # fmt: skip
CLAIMS = [
    "Cuxhaven", "42", "It is not long.", "The Elbe is long!", "Yes, both are rivers.", "- Cologne",
    "Sorry, the Elbe ends in Poland.", "The documents were signed in 1901 by Karl Berger.",
]  # fmt: skip


@pytest.mark.parametrize("sentence", NO_CLAIMS)
def test_sentence_without_checkable_content_is_no_claim(sentence: str) -> None:
    assert not is_claim(sentence)
    assert cite(sentence, PASSAGES) == ()


@pytest.mark.parametrize("sentence", CLAIMS)
def test_sentence_that_says_something_is_a_claim(sentence: str) -> None:
    assert is_claim(sentence)


def test_code_is_no_claim() -> None:
    text = (
        "The Elbe ends in the North Sea.\n\n```python\nriver = load('Danube'). Then print(9)\n```"
    )
    assert [text[c.start : c.end] for c in cite(text, PASSAGES)] == [
        "The Elbe ends in the North Sea."
    ]


def test_without_passages_there_is_no_citation() -> None:
    assert cite(ANSWER, ()) == ()


@given(st.text(max_size=300))
def test_citations_stand_in_order_within_any_text(text: str) -> None:
    last = 0
    for citation in cite(text, PASSAGES):
        assert last <= citation.start < citation.end <= len(text)
        assert 0 <= citation.support <= 1
        assert (citation.passage is None) == (citation.support < CITED)
        last = citation.end


def test_check_holds_the_worst_claim_then_each() -> None:
    citations = cite(ANSWER, PASSAGES)
    check = groundedness_check([segment(ANSWER)], PASSAGES, citations, seconds=0.5)
    assert (check.detector, check.side, check.seconds) == (DETECTOR, Stage.OUTPUT, 0.5)
    assert check.version
    assert {detection.label for detection in check.detections} == set(LABELS)
    scores = [detection.score for detection in check.detections]
    assert scores == [max(scores)] + [round(1 - c.support, 4) for c in citations]
    assert [(d.start, d.end) for d in check.detections] == [
        (None, None),
        *((c.start, c.end) for c in citations),
    ]


def test_check_gives_each_choice_its_own_claims() -> None:
    outputs = [
        segment("Because.", 0, "reasoning_content"),
        segment("It has 9,000 islands.", 0),
        segment("Hello!", 1),
    ]
    citations = cite(outputs[1].text, PASSAGES, 0) + cite(outputs[2].text, PASSAGES, 1)
    check = groundedness_check(outputs, PASSAGES, citations)
    assert [(d.segment, d.start) for d in check.detections] == [(1, None), (1, 0), (2, None)]
    assert check.detections[0].score > CITED
    assert check.detections[2].score == 0


def test_check_without_passages_is_skipped() -> None:
    check = groundedness_check([segment(ANSWER)], (), ())
    assert check.skipped == "no passages"
    assert check.detections == ()


def test_annotations_have_openai_s_shape() -> None:
    found = annotations(cite(ANSWER, PASSAGES), PASSAGES)
    assert found == [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": ANSWER.index("The Elbe"),
                "end_index": ANSWER.index("  The Rhine"),
                "title": "Elbe",
                "url": "elbe.md",
            },
        },
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": ANSWER.index("The Rhine"),
                "end_index": ANSWER.index(" It has"),
                "title": "Rhine",
                "url": "rhine.md",
            },
        },
    ]


def test_context_citations_stand_in_the_prompt_s_order() -> None:
    assert context_citations(PASSAGES)[1] == {
        "content": "The Rhine passes Basel and Cologne.",
        "title": "Rhine",
        "url": "rhine.md",
        "filepath": "rhine.md",
        "chunk_id": "p2",
    }
