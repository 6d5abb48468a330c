"""Which sentences of an answer do the passages bear out, and which passage?

A sentence without checkable content (a greeting, a question, "I don't know") is no claim: it gets
no citation.
"""

import re
from collections.abc import Sequence
from typing import Any

from guardrails.grounding.support import Evidence, fitted, listed, words_of
from guardrails.text.sentences import sentences
from guardrails.types import Check, Citation, Detection, Passage, Segment, Stage

DETECTOR = "groundedness"
LABELS = ("ungrounded",)

CITED = 0.5
"""The support from which a sentence counts as borne out. The model is fitted so that this is even
odds on its training pairs; no evaluation set had a part in it."""

_NO_CLAIM = re.compile(
    r"^\W*(?:(?:i(?: am|'m|’m)? (?:do(?: not|n't|n’t) (?:know|have|see|find)|can(?:not|'t|’t)|could"
    r"(?: not|n't|n’t)|am not (?:sure|able)|not (?:sure|able)|unable|sorry|apologi[sz]e))"
    r"|(?:sorry|unfortunately|(?:my )?apologies)\b.{0,40}\b(?:not|can't|can’t|cannot|unable)\b"
    r"|(?:the|these|none of the|no) (?:\w+ )?(?:passages?|documents?|context|sources?)\b.{0,40}\b"
    r"(?:not|n't|n’t|no|contain|mention|answer)\b"
    r"|(?:please )?(?:let me know|feel free)|(?:i )?hope (?:this|that|it) helps"
    r"|(?:you(?:'|’| a)re )?welcome|how (?:can|may) i help|is there anything"
    r"|here (?:is|are)\b[^.]*:\s*$)|^\s*#{1,6}\s",
    re.IGNORECASE | re.DOTALL,
)
_CODE = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
_SMALL_TALK = listed(
    "hi hello hey dear greetings good morning afternoon evening night day welcome thank thanks"
    " please yes no yeah sure okay ok certainly absolutely course great glad happy nice pleasure"
    " goodbye bye cheers well right fine alright indeed sorry hope help helps"
)


def cite(text: str, passages: Sequence[Passage], choice: int = 0) -> tuple[Citation, ...]:
    """Each claim of an answer with its support and its passage, in the text's order.

    Limits: without passages there is nothing to hold it against, and no citation.
    Cost:   see `support.Evidence`; linear in the text and in the passages.
    """
    return cite_with(text, Evidence(passages), choice) if passages else ()


def cite_with(text: str, evidence: Evidence, choice: int = 0) -> tuple[Citation, ...]:
    """The same against passages that were made ready before: for several choices, or a stream."""
    # Spaces in the place of code: it makes no claim, and the offsets stay.
    text = _CODE.sub(lambda code: " " * len(code[0]), text)
    found = []
    for start, end in sentences(text):
        sentence = text[start:end]
        if not is_claim(sentence):
            continue
        support, number = evidence.support(sentence)
        found.append(
            Citation(
                choice=choice,
                start=start,
                end=end,
                support=round(support, 4),
                passage=number if support >= CITED else None,
            )
        )
    return tuple(found)


def is_claim(sentence: str) -> bool:
    """Whether a sentence says something that a passage could bear out."""
    stripped = sentence.rstrip(" \t\r\n\"'”’)*_")
    if not stripped or stripped.endswith("?") or _NO_CLAIM.search(stripped):
        return False
    return any(
        word.number or (word.counts and word.text not in _SMALL_TALK)
        for word in words_of(stripped, fitted())
    )


def groundedness_check(
    outputs: Sequence[Segment],
    passages: Sequence[Passage],
    citations: Sequence[Citation],
    *,
    seconds: float = 0.0,
) -> Check:
    """The citations as a check that a rule of the policy can hold.

    Each answer has one detection without a span, the score of its worst claim (0 where it claims
    nothing), then one for each claim: 1 - support. Without passages nothing was measured: the
    check is `skipped`.
    """
    detections: list[Detection] = []
    for number, segment in _answers(outputs) if passages else ():
        claims = [
            Detection(
                label=LABELS[0],
                score=round(1 - citation.support, 4),
                segment=number,
                start=citation.start,
                end=citation.end,
            )
            for citation in citations
            if citation.choice == segment.index
        ]
        worst = max((claim.score for claim in claims), default=0.0)
        detections += [Detection(label=LABELS[0], score=worst, segment=number), *claims]
    return Check(
        detector=DETECTOR,
        version=fitted().version,
        side=Stage.OUTPUT,
        detections=tuple(detections),
        seconds=seconds,
        skipped=None if passages else "no passages",
    )


def annotations(citations: Sequence[Citation], passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """The borne-out claims of one answer as OpenAI's `message.annotations`."""
    by_number = {passage.number: passage for passage in passages}
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": citation.start,
                "end_index": citation.end,
                "title": by_number[citation.passage].title,
                "url": by_number[citation.passage].source,
            },
        }
        for citation in citations
        if citation.passage in by_number
    ]


def context_citations(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """The passages as Azure's `message.context.citations`, in the prompt's order."""
    return [
        {
            "content": passage.text,
            "title": passage.title,
            "url": passage.source,
            "filepath": passage.source,
            "chunk_id": passage.passage_id,
        }
        for passage in passages
    ]


def _answers(outputs: Sequence[Segment]) -> list[tuple[int, Segment]]:
    """The segment of each choice that `cite` was given: its text, not its reasoning or refusal."""
    first: dict[int, tuple[int, Segment]] = {}
    for number, segment in enumerate(outputs):
        spoken = "content" in segment.pointer or "text" in segment.pointer
        if segment.stage is Stage.OUTPUT and spoken:
            first.setdefault(segment.index, (number, segment))
    return list(first.values())
