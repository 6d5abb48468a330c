"""How well does the groundedness score tell borne-out answers from others?

    python -m guardrails.evaluation.groundedness FILE.jsonl.gz ...

Rows hold `passages`, `claim` and `label` (1: borne out). A claim may be several sentences: it
counts as borne out when each sentence that claims something is, so its score is the lowest. A text
that claims nothing is not borne out.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guardrails.evaluation.measures import Interval
from guardrails.grounding.cite import CITED, cite
from guardrails.types import Passage

RESAMPLES = 1_000
SEED = 17


@dataclass(frozen=True, slots=True)
class Groundedness:
    """What one file showed; `claimless` counts the rows without any claim."""

    rows: int
    claimless: int
    auc: Interval
    balanced_accuracy: Interval
    found_supported: float
    found_unsupported: float
    milliseconds_a_row: float


def support_of(claim: str, passage: str) -> float | None:
    """The lowest support of a text's claims; None where it claims nothing."""
    citations = cite(claim, [Passage(1, "1", "1", "", "", passage, 0.0)])
    return min((citation.support for citation in citations), default=None)


def evaluate_rows(rows: Sequence[dict[str, object]]) -> Groundedness:
    """The measures on rows; both labels must occur. Intervals are bootstrapped over rows (95 %)."""
    began = time.perf_counter()
    found = [support_of(str(row["claim"]), str(row["passages"])) for row in rows]
    seconds = time.perf_counter() - began
    scores = np.array([0.0 if support is None else support for support in found])
    truth = np.array([row["label"] == 1 for row in rows])
    generator = np.random.default_rng(SEED)
    drawn = [_measures(scores, truth)]
    for _ in range(RESAMPLES):
        chosen = generator.integers(0, len(rows), len(rows))
        if 0 < truth[chosen].sum() < len(rows):
            drawn.append(_measures(scores[chosen], truth[chosen]))
    low, high = np.percentile(drawn[1:], [2.5, 97.5], axis=0)
    auc, balanced = (
        Interval(float(value), float(a), float(b))
        for value, a, b in zip(drawn[0], low, high, strict=True)
    )
    return Groundedness(
        rows=len(rows),
        claimless=sum(support is None for support in found),
        auc=auc,
        balanced_accuracy=balanced,
        found_supported=float((scores[truth] >= CITED).mean()),
        found_unsupported=float((scores[~truth] < CITED).mean()),
        milliseconds_a_row=seconds / len(rows) * 1_000,
    )


def _measures(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """AUC by ranks (ties count half), and balanced accuracy at the fixed threshold."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives, negatives = truth.sum(), (~truth).sum()
    above = ranks[truth].sum() - positives * (positives + 1) / 2
    held = scores >= CITED
    balanced = (held[truth].mean() + (~held[~truth]).mean()) / 2
    return float(above / (positives * negatives)), float(balanced)


def main() -> None:
    """Print one line a file."""
    for path in map(Path, sys.argv[1:]):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found = evaluate_rows([json.loads(line) for line in lines])
        auc, balanced = found.auc, found.balanced_accuracy
        print(
            f"{path.name}: {found.rows} rows, {found.claimless} without a claim;"
            f" AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}];"
            f" balanced accuracy {balanced.value:.3f} [{balanced.low:.3f}, {balanced.high:.3f}]"
            f" ({found.found_supported:.3f} of the supported,"
            f" {found.found_unsupported:.3f} of the others);"
            f" {found.milliseconds_a_row:.2f} ms a row"
        )


if __name__ == "__main__":
    main()
