"""Claims made from prose: which are borne out, and how the others differ."""

import random

import numpy as np

from guardrails.training.made_up_claims import prose, rewritten

TEXT = (
    "The city of Ghent has many old bridges, and people use them often. In 1901 the painter Karl"
    " Berger opened a school for drawing there. The school is located near the Harbour and has 320"
    " pupils. It can be visited on Sundays during the summer."
)
OTHER = (
    "A balanced diet includes vegetables and whole grains every day. Many doctors recommend walking"
    " for thirty minutes. Sleep is important because the body repairs itself at night."
)


def test_prose_is_three_sentences_or_nothing() -> None:
    assert [len(document) for document in prose([TEXT, OTHER, "One. Two.", "code();\n" * 9])] == [
        4,
        3,
    ]


def test_half_of_the_rewritten_pairs_are_supported_and_differ_from_the_rest() -> None:
    documents = prose([TEXT, OTHER] * 20)
    pairs = list(rewritten(random.Random(1), documents))
    assert 0.4 < np.mean([pair.supported for pair in pairs]) < 0.6
    kinds = {pair.kind for pair in pairs if not pair.supported}
    assert {"number", "name", "denied", "opinion", "foreign", "exchanged"} <= kinds
    for pair in pairs:
        if pair.kind in ("number", "name", "denied", "exchanged"):
            assert pair.claim.rstrip(".") not in " ".join(pair.passages)
