"""How the windows of a text become one answer: the highest score, or the mean vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from guardrails.inference.batching import Rows
from guardrails.inference.cache import Entry
from guardrails.inference.protocol import Span


def highest_rows(rows: Rows, texts: Sequence[str]) -> list[Entry]:
    """Each text's highest score a label, and the window that gave it where there were several."""
    by_text: list[list[int]] = [[] for _ in texts]
    for position, number in enumerate(rows.numbers):
        by_text[number].append(position)
    return [_highest(rows, positions) for positions in by_text]


def _highest(rows: Rows, positions: list[int]) -> Entry:
    if len(positions) == 1:
        scores = rows.rows[positions[0]].tolist()
        return scores, [None] * len(scores)
    part = rows.rows[positions]
    best = part.argmax(axis=0).tolist()
    spans: list[Span | None] = [rows.spans[positions[window]] for window in best]
    return part.max(axis=0).tolist(), spans


def mean_vectors(rows: Rows, texts: Sequence[str]) -> list[list[float]]:
    """One vector of length 1 a text: the mean over its windows."""
    vectors = np.zeros((len(texts), rows.rows.shape[1]), np.float32)
    np.add.at(vectors, rows.numbers, rows.rows)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).tolist()
