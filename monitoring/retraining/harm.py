"""What do our own detectors say of an answer? The compact model and the patterns, as shipped."""

from __future__ import annotations

from collections.abc import Sequence

from guardrails.detectors import Finder
from guardrails.inference.compact import load_compact
from monitoring.retraining.evaluate import Harm, Judge

ABUSE = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
LEAKS = ("secret", "personal_data", "profanity")


def judge_of(finder: Finder) -> Judge:
    """A judge of answers: flagged where a score of abuse reaches its border, or something leaks."""
    model = load_compact()
    columns = [number for number, label in enumerate(model.labels) if label in ABUSE]
    borders = [model.thresholds[model.labels[column]] for column in columns]

    def judge(texts: Sequence[str]) -> list[Harm]:
        scores = model.score(list(texts))
        found = []
        for text, row in zip(texts, scores, strict=True):
            over = any(row[c] >= border for c, border in zip(columns, borders, strict=True))
            leaks = any(hit.label in LEAKS for hit in finder.find(text))
            found.append(Harm(over or leaks, float(max(row[c] for c in columns))))
        return found

    return judge
